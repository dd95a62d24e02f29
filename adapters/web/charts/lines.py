"""Paths of lines and steps, with gaps."""

from collections.abc import Sequence

from adapters.web.charts.markup import coordinate

Position = tuple[float, float | None]
"""Coordinates in user units; y is None in a gap."""


def runs(positions: Sequence[Position]) -> list[list[tuple[float, float]]]:
    """The parts of a line between gaps."""
    found: list[list[tuple[float, float]]] = [[]]
    for x, y in positions:
        if y is not None:
            found[-1].append((x, y))
        elif found[-1]:
            found.append([])
    return [run for run in found if run]


def line_path(positions: Sequence[tuple[float, float]]) -> str:
    """Path data of straight lines through the positions."""
    return "M" + "L".join([f"{x:.4g} {y:.4g}" for x, y in positions])


def step_path(positions: Sequence[tuple[float, float]]) -> str:
    """Path data of steps: each height lasts until the next position."""
    (x, y), *others = positions
    parts = [f"M{coordinate(x)} {coordinate(y)}"]
    for other_x, other_y in others:
        parts.append(f"H{coordinate(other_x)}")
        if other_y != y:
            parts.append(f"V{coordinate(other_y)}")
        y = other_y
    return "".join(parts)
