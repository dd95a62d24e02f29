"""Submitted forms: bodies, their limits, and numbers."""

import asyncio
from collections.abc import Iterator

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from adapters.web.framework.forms import MAX_BYTES, MAX_FIELDS, decode_fields, read_form, whole_number
from scalecommerce_core.domain.errors import Overloaded
from tests.unit.support.browser import Browser

SAME = {"Sec-Fetch-Site": "same-origin"}
URLENCODED = {**SAME, "Content-Type": "application/x-www-form-urlencoded"}


def test_a_body_has_names_with_values() -> None:
    form = decode_fields(b"a=1&a=+2+&b=&%D1%8F=%D0%B6%00&c=%ff")
    assert (form.texts("a"), form.raw("a"), form.text("b")) == (["1", "2"], "1", "")
    assert "b" in form
    assert (form.raw("\u044f"), form.raw("c")) == ("\u0436\0", "\ufffd")


@pytest.mark.parametrize("body", [b"&" * MAX_FIELDS, b"a=1&" * MAX_FIELDS])
def test_too_many_fields_are_refused_before_they_are_decoded(anybody: Browser, body: bytes) -> None:
    assert anybody.send("POST", "/preferences/", content=body, headers=URLENCODED).status_code == 400


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_a_long_body_of_unknown_length_is_refused(anybody: Browser, media_type: str) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(MAX_BYTES // 65_536 + 1):
            yield b"a" * 65_536

    headers = {**SAME, "Content-Type": media_type}
    assert anybody.send("POST", "/preferences/", content=parts(), headers=headers).status_code == 413


@pytest.mark.parametrize("media_type", ["multipart/form-data", "multipart/form-data; boundary=x"])
def test_a_malformed_body_with_parts_is_refused(anybody: Browser, media_type: str) -> None:
    headers = {**SAME, "Content-Type": media_type}
    assert anybody.send("POST", "/preferences/", content=b"--y\r\n", headers=headers).status_code in {400, 403}


@pytest.mark.parametrize(
    ("error", "raised"),
    [(TimeoutError(), HTTPException), (Overloaded("Too many bodies."), Overloaded)],
)
def test_a_body_that_the_server_gives_up_is_no_failure(error: Exception, raised: type[Exception]) -> None:
    async def receive() -> dict[str, object]:
        raise error

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(raised) as caught:
        asyncio.run(read_form(request))
    assert getattr(caught.value, "status_code", 408) == 408


def test_errors_have_titles_in_the_language_of_the_reader(anybody: Browser) -> None:
    anybody.language = "ru"
    page = anybody.send("POST", "/preferences/", content=b"&" * MAX_FIELDS, headers=URLENCODED)
    assert "Bad Request" not in page.text
    assert "Запрос составлен неверно." in page.text


def test_a_form_with_parts_is_read(anybody: Browser) -> None:
    parts = {"form_token": (None, anybody.token()), "theme": (None, "dark")}
    assert anybody.send("POST", "/preferences/", files=parts, headers=SAME).status_code == 303
    assert anybody.cookies["theme"] == "dark"


@pytest.mark.parametrize(
    ("text", "number"), [("7", 7), ("-7", -7), ("9" * 19, "9" * 19), ("9" * 5_000, "9" * 5_000), ("\u0667", "\u0667")]
)
def test_only_numbers_that_the_api_reads_are_numbers(text: str, number: int | str) -> None:
    assert whole_number(text) == number
