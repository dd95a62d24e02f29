"""Text that logs, tracebacks and debuggers do not show."""

from attrs import field, frozen


@frozen(repr=False, str=False)
class Secret:
    """A password, key or URL with a password: `reveal` returns the text, `str` and `repr` hide it.

    False if the text is empty.
    """

    _text: str = field(alias="text")

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._text)


def as_secret(text: "str | Secret") -> Secret:
    """Convert plain text, for fields that accept both."""
    return text if isinstance(text, Secret) else Secret(text)


def as_optional_secret(text: "str | Secret | None") -> Secret | None:
    """As `as_secret`; None stays None."""
    return None if text is None else as_secret(text)
