"""Screenshots for people, and a loose comparison with stored thumbnails.

A thumbnail tells two things of each block of about 40 × 40 px, as one hexadecimal digit each: its mean brightness (0
black, f white), then, after an empty line, its contrast: the difference between its brightest and its darkest pixel (0
none, f black and white; logarithmic, so that a border of a card counts as text does). Both are independent of fonts and
smoothing, but not of structure. A block is equal if its digits lie within those of the blocks around it in the other
picture, give or take a tolerance, so things may move by a block, but neither appear nor vanish.
"""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Locator, Page

REFERENCES: Final = Path(__file__).with_name("references")
BLOCK: Final = 40
"""Pixels of the page per block, roughly: blocks divide the picture evenly."""
TOLERANCES: Final = np.array([1, 4]).reshape(2, 1, 1)
"""Levels of brightness and of contrast."""
ALLOWED: Final = 0.01
"""Share of the blocks that may differ."""

Levels = npt.NDArray[np.int64]

# Averages in the browser, so that no library has to decode PNG files.
_MEASURE: Final = """async ([source, columns, rows]) => {
    const image = new Image();
    image.src = source;
    await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const {data} = context.getImageData(0, 0, image.width, image.height);
    const blocks = Array.from({length: columns * rows}, () => ({sum: 0, count: 0, least: 255, most: 0}));
    for (let y = 0, at = 0; y < image.height; y++) {
        const row = Math.floor(y * rows / image.height) * columns;
        for (let x = 0; x < image.width; x++, at += 4) {
            const block = blocks[row + Math.floor(x * columns / image.width)];
            const luma = 0.2126 * data[at] + 0.7152 * data[at + 1] + 0.0722 * data[at + 2];
            block.sum += luma;
            block.count++;
            if (luma < block.least) block.least = luma;
            if (luma > block.most) block.most = luma;
        }
    }
    return [blocks.map(block => block.sum / block.count), blocks.map(block => block.most - block.least)];
}"""


def capture(page: Page, *, path: Path | None = None, mask: Sequence[Locator] = ()) -> bytes:
    """Return a picture of the window as PNG, and write it to `path`.

    Chromium on a busy machine sometimes answers that it cannot capture the window; the second attempt decides.
    """
    try:
        return page.screenshot(path=path, mask=mask)
    except PlaywrightError as error:
        if "Unable to capture screenshot" not in error.message:
            raise
    return page.screenshot(path=path, mask=mask)


def thumbnail(png: bytes, width: int, height: int, blank: Page) -> Levels:
    """Return the levels of a picture of the window, 2 × rows × columns, computed in the empty page `blank`."""
    columns, rows = round(width / BLOCK), round(height / BLOCK)
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    brightness, contrast = np.array(blank.evaluate(_MEASURE, [source, columns, rows]), dtype=np.float64)
    levels = np.stack([brightness / 16, 2 * np.log2(1 + contrast)])
    digits: Levels = np.minimum(levels, 15).astype(np.int64)
    return digits.reshape(2, rows, columns)


def to_text(levels: Levels) -> str:
    return "\n".join("".join("".join(f"{level:x}" for level in row) + "\n" for row in measure) for measure in levels)


def from_text(text: str) -> Levels:
    measures = text.strip().split("\n\n")
    return np.array([[[int(digit, 16) for digit in row] for row in measure.split()] for measure in measures])


def differing(one: Levels, other: Levels) -> npt.NDArray[np.bool_]:
    """Return which blocks of either picture do not occur around the same place of the other."""
    return _strange(one, other) | _strange(other, one)


def compare(name: str, levels: Levels, picture: Path, *, update: bool) -> None:
    """Fail if the picture differs from the stored thumbnail of this name; with `update`, store it instead."""
    reference = REFERENCES / f"{name}.txt"
    if update:
        reference.parent.mkdir(exist_ok=True)
        reference.write_text(to_text(levels))
        return
    rewrite = 'Look at the picture; if it is right: make browser ARGS="--update-shots"'
    assert reference.exists(), f"{reference} does not exist; the picture is {picture}. {rewrite}"
    stored = from_text(reference.read_text())
    assert stored.shape == levels.shape, (
        f"{picture} has {levels.shape[1:]} blocks, {reference} {stored.shape[1:]}. {rewrite}"
    )
    differs = differing(stored, levels)
    assert differs.mean() <= ALLOWED, (
        f"{picture} does not look like {reference}: {differs.sum()} of {differs.size} blocks differ (#).\n{rewrite}\n"
        + _marked(differs)
    )


def _strange(levels: Levels, other: Levels) -> npt.NDArray[np.bool_]:
    """Blocks of `levels` with another brightness or more contrast than all around them in `other`.

    Less contrast is not strange: a gap between two cards shows or not, as the blocks happen to lie. If something is
    missing here, its blocks are strange in `other`.
    """
    _, rows, columns = other.shape
    padded = np.pad(other, ((0, 0), (1, 1), (1, 1)), mode="edge")
    around = np.stack([padded[:, y : y + rows, x : x + columns] for y in range(3) for x in range(3)])
    above = levels > around.max(axis=0) + TOLERANCES
    below = levels < around.min(axis=0) - TOLERANCES
    strange: npt.NDArray[np.bool_] = above[0] | below[0] | above[1]
    return strange


def _marked(differs: npt.NDArray[np.bool_]) -> str:
    return "\n".join("".join("#" if here else "." for here in row) for row in differs)
