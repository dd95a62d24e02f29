"""Reading charts: the elements of their images, and the positions of marks."""

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element, fromstring

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def images(markup: str) -> dict[str, Element]:
    """The images of a chart by size: `wide` and `narrow`. Markup that is not well-formed XML raises ParseError."""
    found = fromstring(markup).iter("svg")  # noqa: S314 - markup of this project
    return {image.get("class", "").rpartition("chart-")[2]: image for image in found}


def with_class(image: Element, name: str) -> Iterator[Element]:
    """All elements with the class `name`."""
    return (element for element in image.iter() if name in element.get("class", "").split())


def path_positions(path: str) -> list[tuple[float, float]]:
    """The positions that path data with the commands M, L, H, V and Z visit."""
    x = y = 0.0
    found: list[tuple[float, float]] = []
    for command, arguments in re.findall(r"([MLHVZ])([^MLHVZ]*)", path):
        numbers = [float(number) for number in _NUMBER.findall(arguments)]
        match command:
            case "M" | "L":
                x, y = numbers
            case "H":
                (x,) = numbers
            case "V":
                (y,) = numbers
        found.append((x, y))
    return found


def mark_positions(image: Element) -> list[tuple[float, float]]:
    """Positions of lines, dots, bars and markers of the plot, without those of the legend."""
    legend = {id(element) for group in image.findall("g[@transform]") for element in group.iter()}
    found: list[tuple[float, float]] = []
    for element in image.iter():
        name = element.get("class", "")
        if id(element) in legend:
            continue
        if element.tag == "path" and "transform" in element.attrib:
            x, y = map(float, _NUMBER.findall(element.attrib["transform"]))
            found.append((x, y))
        elif element.tag == "path":
            found += path_positions(element.attrib["d"])
        elif element.tag == "circle":
            found.append((float(element.attrib["cx"]), float(element.attrib["cy"])))
        elif element.tag == "rect" and name != "chart-column":
            x, y = float(element.attrib["x"]), float(element.attrib["y"])
            found += [(x, y), (x + float(element.attrib["width"]), y + float(element.attrib["height"]))]
    return found


def plot_area(image: Element) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the plot, as its gridlines show them."""
    lines = [element for element in image.findall("line") if element.get("y1") == element.get("y2")]
    lines = [line for line in lines if line.get("class") in {"chart-grid", "chart-axis"}]
    heights = [float(line.attrib["y1"]) for line in lines]
    return float(lines[0].attrib["x1"]), min(heights), float(lines[0].attrib["x2"]), max(heights)


def texts(image: Element) -> list[str]:
    """The visible texts of an image, in order."""
    return [element.text or "" for element in image.iter("text")]


def tooltips(image: Element) -> list[str]:
    """The texts that appear under the pointer."""
    return [title.text or "" for group in image.iter("g") for title in group.findall("title")]
