"""The base class of request and response bodies that hold passwords, tokens or keys."""

import msgspec


class Confidential(msgspec.Struct):
    """Its repr hides all fields, so that logs, tracebacks and debuggers do not show them."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"
