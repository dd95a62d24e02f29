"""What the commands share by which staff and operators act on things of others."""

from attrs import frozen

from scalecommerce_core.domain.audit import Actor
from scalecommerce_core.domain.identifiers import AccountId


@frozen(kw_only=True)
class StaffCommand:
    """A command for a thing of the account that gives it, or with `as_staff` of any account.

    The caller checks that the account is staff. Operators are the account None or 0. An action on a thing of another
    account is recorded in the audit log, with the network of the client's `address`.
    """

    as_staff: bool = False
    address: str = ""


def actor_on(owner_id: AccountId, actor_id: AccountId | None, address: str = "") -> Actor | None:
    """Who acts on a thing of `owner_id`; None if it is the actor's own, which the audit log does not record."""
    return None if actor_id == owner_id else Actor(actor_id or None, address)
