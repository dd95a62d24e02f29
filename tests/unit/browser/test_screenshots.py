from pathlib import Path

import numpy as np
import pytest

from tests.browser import screenshots
from tests.browser.screenshots import Levels, compare, from_text, to_text


@pytest.fixture(autouse=True)
def references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(screenshots, "REFERENCES", tmp_path / "references")
    return tmp_path / "references"


def white(rows: int = 20, columns: int = 32) -> Levels:
    return np.stack([np.full((rows, columns), 15), np.zeros((rows, columns), dtype=np.int64)])


def with_card(left: int) -> Levels:
    levels = white()
    levels[1, 5:12, left : left + 10] = 14
    return levels


def test_a_thumbnail_is_readable_text() -> None:
    levels = white(rows=2, columns=3)
    levels[1, 0, 1] = 12

    assert to_text(levels) == "fff\nfff\n\n0c0\n000\n"
    assert (from_text(to_text(levels)) == levels).all()


def test_a_picture_without_a_reference_fails_and_says_how_to_store_it(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"new\.txt does not exist.*--update-shots"):
        compare("new", white(), tmp_path / "new.png", update=False)


def test_a_stored_picture_agrees_with_itself_and_if_things_moved_by_a_block(tmp_path: Path) -> None:
    compare("page", with_card(4), tmp_path / "page.png", update=True)

    compare("page", with_card(4), tmp_path / "page.png", update=False)
    compare("page", with_card(5), tmp_path / "page.png", update=False)


@pytest.mark.parametrize("other", [white(), with_card(12), with_card(4) // 2])
def test_a_picture_in_which_things_vanished_moved_or_changed_brightness_fails(tmp_path: Path, other: Levels) -> None:
    compare("page", with_card(4), tmp_path / "page.png", update=True)

    with pytest.raises(AssertionError, match=r"page\.png does not look like .*\n.*--update-shots"):
        compare("page", other, tmp_path / "page.png", update=False)


def test_a_picture_of_another_size_fails(tmp_path: Path) -> None:
    compare("page", white(), tmp_path / "page.png", update=True)

    with pytest.raises(AssertionError, match=r"\(21, 32\) blocks"):
        compare("page", white(rows=21), tmp_path / "page.png", update=False)
