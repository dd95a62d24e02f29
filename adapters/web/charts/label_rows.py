"""Places of labels, so that neither labels nor lines cover another label."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

_GAP: Final = 8.0
_BESIDE: Final = 5.0
"""Distance of a label from the line beside which it stands."""
_CLEARANCE: Final = 4.0
"""Least distance of a label from a line that passes it; less than `_BESIDE`."""
_MOST_STEPS: Final = 2000
"""Positions that the search tries; five labels need a few dozen."""


class Place(NamedTuple):
    """A label from `begin` to `end` in a `row`, counted from the top, whose line goes down at `line`."""

    row: int
    begin: float
    end: float
    line: float

    def collides(self, other: "Place") -> bool:
        """Whether one label covers the other, or a line goes through the label of the other."""
        if self.row == other.row:
            return self.begin < other.end + _GAP and other.begin < self.end + _GAP
        upper, lower = (self, other) if self.row < other.row else (other, self)
        return lower.begin - _CLEARANCE < upper.line < lower.end + _CLEARANCE


def place_labels(labels: Sequence[tuple[float, float]], left: float, right: float) -> list[Place]:
    """
    The place of each label, given as the position of its line and its width, within `left` and `right`.

    Labels stand centred above their lines or beside them, in as few rows as possible. If no such places are found, each
    label gets its own row, where lines may cross labels.
    """
    order = sorted(range(len(labels)), key=lambda index: labels[index][0])
    ordered = [labels[index] for index in order]
    begins = [_begins(at, width, left, right) for at, width in ordered]
    for rows in range(1, len(labels) + 1):
        steps = iter(range(_MOST_STEPS))
        placed = _search(ordered, rows, begins, [], steps)
        if placed is not None:
            return [place for _, place in sorted(zip(order, placed, strict=True))]
    return [
        Place(row, begin := _begins(at, width, left, right)[0], begin + width, at)
        for row, (at, width) in enumerate(labels)
    ]


def _begins(at: float, width: float, left: float, right: float) -> list[float]:
    """Left ends of a label, the best one first: centred, as far as the plot allows, or beside the line."""
    centred = max(left, min(at - width / 2, right - width))
    beside = [begin for begin in (at + _BESIDE, at - _BESIDE - width) if left <= begin <= right - width]
    return [centred, *beside]


def _search(
    labels: Sequence[tuple[float, float]],
    rows: int,
    begins: Sequence[Sequence[float]],
    placed: list[Place],
    steps: Iterator[int],
) -> list[Place] | None:
    """Places for the labels after those `placed`, by backtracking; None if there are none in so many `steps`."""
    if len(placed) == len(labels):
        return placed
    at, width = labels[len(placed)]
    for begin in begins[len(placed)]:
        for row in range(rows):
            place = Place(row, begin, begin + width, at)
            if next(steps, None) is None:
                return None
            if not any(place.collides(other) for other in placed):
                found = _search(labels, rows, begins, [*placed, place], steps)
                if found is not None:
                    return found
    return None


class Box(NamedTuple):
    """A rectangle of the image in user units, y downwards; it may have no height or no width."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: "Box") -> float:
        """The width that both share if they meet, at least 1, or 0 if they do not."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 1.0) if width >= 0 and height >= 0 else 0.0


def free_box(boxes: Sequence[Box], taken: Sequence[Box]) -> Box:
    """The first of `boxes` that overlaps none of those `taken`, or the one that overlaps them least."""
    shared: list[tuple[float, int]] = []
    for index, box in enumerate(boxes):
        total = sum(map(box.overlap, taken))
        if not total:
            return box
        shared.append((total, index))
    return boxes[min(shared)[1]]
