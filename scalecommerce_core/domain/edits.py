"""Edits of aggregates that count them: the one place that decides whether an edit changes anything."""

from collections.abc import Callable, Mapping
from typing import Protocol

from scalecommerce_core.domain.errors import Invalid


class Versioned(Protocol):
    """An aggregate whose `version` counts its edits: clients compare it, as an entity tag or by name."""

    version: int


def apply_edit(aggregate: Versioned, changes: Mapping[str, object], check: Callable[[], None]) -> frozenset[str]:
    """Set the fields in `changes`; return the names of those whose value is another one now.

    If there are any, they count as one edit: `version` goes up by one. If there are none, nothing has happened, and
    the caller must record nothing either (no event, no time of the edit). Values are compared as they are after they
    were set, so that text in another form of the same is no change.

    `check` raises `Invalid` when the aggregate is not valid with the new values: then the old ones are put back.
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
