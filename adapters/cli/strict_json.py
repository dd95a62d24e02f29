"""JSON output of all commands: strict JSON (RFC 8259), without NaN and infinity."""

import json
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any
from uuid import UUID

from scalecommerce_core.domain.date_times import rfc3339


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Serialize as strict JSON: times as RFC 3339, durations in seconds, numbers that are not finite as null.

    Raise `TypeError` for types without a JSON representation.
    """
    return json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    match value:
        case Enum():
            return _plain(value.value)
        case None | bool() | str():
            return value
        case Integral():
            return int(value)
        case Real():
            return float(value) if math.isfinite(value) else None
        case datetime():
            return rfc3339(value)
        case date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Decimal() | UUID() | PurePath():
            return str(value)
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case Sequence() | AbstractSet():
            return [_plain(each) for each in value]
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON representation.")
