"""Fixtures: problems whose messages must be in the catalogues of the pages."""

import logging
from collections.abc import Iterator

import pytest

from adapters.http.framework.problems import Json, Problem
from adapters.web.framework import api_messages
from adapters.web.framework.languages import load


@pytest.fixture(autouse=True)
def no_untranslated_messages(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test whose response has a message that pages cannot show in Russian."""
    document = Problem.document

    def check(problem: Problem) -> Json:
        for text in (
            [text for texts in problem.errors.values() for text in texts] if problem.errors else [problem.detail]
        ):
            load("ru").translated(text)
        return document(problem)

    monkeypatch.setattr(Problem, "document", check)
    caplog.set_level(logging.INFO, logger=api_messages.__name__)
    yield
    assert not [record.getMessage() for record in caplog.get_records("call") if record.name == api_messages.__name__]
