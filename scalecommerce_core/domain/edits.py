"""Edits of versioned aggregates: the one place that decides whether an edit changes anything."""

from collections.abc import Callable, Mapping
from typing import Protocol

from scalecommerce_core.domain.errors import Invalid


class Versioned(Protocol):
    """An aggregate whose `version` counts its edits; clients send the version back, in an entity tag or by field."""

    version: int


def apply_edit(aggregate: Versioned, changes: Mapping[str, object], check: Callable[[], None]) -> frozenset[str]:
    """Set the fields in `changes`; return the names of those whose value changed.

    Any number of changed fields is one edit: `version` increases by one. If no field changed, the caller must record
    nothing either (no event, no `updated_at`). Values are compared after they were set and normalised, so that another
    spelling of an equal value is not a change.

    `check` raises `Invalid` when the aggregate is not valid with the new values; the old values are then restored.
    """
    before = {name: getattr(aggregate, name) for name in changes}
    for name, value in changes.items():
        setattr(aggregate, name, value)
    try:
        check()
    except Invalid:
        for name, value in before.items():
            setattr(aggregate, name, value)
        raise
    changed = frozenset(name for name, value in before.items() if getattr(aggregate, name) != value)
    aggregate.version += bool(changed)
    return changed
