"""Messages about prices: English sentences with a stable key and named parameters, so that pages can translate them.

A translator replaces `Message.template`, and formats the parameters in the format of the reader.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias

from attrs import field, frozen

from scalecommerce_core.domain.money import unit_text


@frozen
class Amount:
    """An amount of money in minor units of a currency with `minor_per_unit` of them in a whole unit."""

    minor: int
    minor_per_unit: int

    def __str__(self) -> str:
        return unit_text(self.minor, self.minor_per_unit)


@frozen
class Share:
    """A share, displayed in percent with so many decimals."""

    value: float
    decimals: int = 1

    def __str__(self) -> str:
        return f"{self.value:.{self.decimals}%}"


@frozen
class Number:
    """A number, displayed with so many decimals."""

    value: float
    decimals: int = 0
    grouped: bool = True

    def __str__(self) -> str:
        return f"{self.value:{',' if self.grouped else ''}.{self.decimals}f}"


@frozen
class Units:
    """A number of units of a product."""

    value: float

    def __str__(self) -> str:
        return _counted(self.value, "unit")


@frozen
class Days:
    """A duration in days, displayed in the largest unit of time, up to days, of which it has one."""

    value: float

    def __str__(self) -> str:
        for unit, length in (("day", 1.0), ("hour", 1 / 24), ("minute", 1 / 1440)):
            if self.value >= length:
                return _counted(round(self.value / length, 1), unit)
        return _counted(round(self.value * 86_400), "second")


@frozen
class Moment:
    """A moment, displayed in whole seconds of UTC: `2026-01-31 12:00:00Z`."""

    value: datetime

    def __str__(self) -> str:
        return f"{self.value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def _counted(number: float, unit: str) -> str:
    return f"{number:,g} {unit}{'' if number == 1 else 's'}"


Parameter: TypeAlias = Amount | Share | Number | Units | Days | Moment | str


@frozen
class Message:
    """`key` never changes its meaning; `template` is the English text with the names of `parameters` in braces."""

    key: str
    template: str
    parameters: Mapping[str, Parameter] = field(factory=dict)

    @property
    def text(self) -> str:
        """The English text."""
        return self.template.format_map({name: str(value) for name, value in self.parameters.items()})


class Templates:
    """The English templates of a group of messages. The key of a message is the group's name, a dot and its name."""

    def __init__(self, group: str, templates: Mapping[str, str]) -> None:
        self.group = group
        self.templates = dict(templates)

    def message(self, name: str, **parameters: Parameter) -> Message:
        """The message `name`; raise `KeyError` for an unknown one."""
        return Message(f"{self.group}.{name}", self.templates[name], parameters)

    def all(self) -> Mapping[str, str]:
        """Templates by the key of their message, for translators."""
        return {f"{self.group}.{name}": template for name, template in self.templates.items()}


def joined_text(messages: Iterable[Message], separator: str = ", ") -> str:
    """The English texts in one line."""
    return separator.join(message.text for message in messages)


KINDS: Final[Mapping[type, str]] = {
    Amount: "amount", Share: "share", Number: "number", Units: "units", Days: "days", Moment: "moment", str: "text",
}  # fmt: skip
"""Names of the kinds of parameters."""
