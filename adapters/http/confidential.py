"""Bodies that hold passwords, tokens or keys."""

import msgspec


class Confidential(msgspec.Struct):
    """Shows none of its fields where it is printed: in a log, a traceback or a debugger."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"
