"""Errors that several ports raise."""

from scalecommerce_core.domain.errors import Conflict


class Duplicate(Conflict):
    """The unique `field` has this value already; raised by `add` and `save` of repositories."""

    code = "duplicate"

    def __init__(self, field: str) -> None:
        super().__init__(f"This {field} is taken.")
        self.field = field
