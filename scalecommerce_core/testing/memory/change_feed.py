"""The changes of a transaction in memory that are reported to the change feed."""

from attrs import evolve

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.promotion import PromotedProduct, PromotionStatus
from scalecommerce_core.ports import AccessChange, CatalogChange
from scalecommerce_core.testing.memory.tables import NUMBERED, Tables


def catalog_change(tables: Tables, number: int) -> CatalogChange | None:
    """What the open transaction changes for readers of the catalog; None if it changes nothing."""
    products = {key for key, before, after in tables.products.changed_rows() if before != after}
    for key, was, stock in tables.stock.changed_rows():
        if (was and was.available) != (stock and stock.available):
            products.add(key)
    items = tables.promoted.changed_rows()
    products |= {key[0] for key, was, is_ in items if was != is_ and _is_running(was, is_)}
    renamed = {key for key, was, is_ in tables.promotions.changed_rows() if was and is_ and was.name != is_.name}
    products |= {product for product, promotion in tables.running_promotions.items() if promotion in renamed}
    people = tables.accounts.changed_rows()
    sellers = {key for key, was, is_ in people if was and is_ and _shown(was) != _shown(is_)}
    if any(was and is_ and was.name != is_.name for _, was, is_ in tables.categories.changed_rows()):
        return CatalogChange(number, everything=True)
    if not products and not sellers and not tables.categories.changed_rows():
        return None
    return CatalogChange(number, frozenset(products), frozenset(sellers))


def access_change(tables: Tables) -> AccessChange | None:
    """The access that the open transaction ends; None if it ends none."""
    revoked = frozenset(
        key
        for key, was, is_ in tables.sessions.changed_rows()
        if is_ is not None and is_.revoked_at is not None and (was is None or was.revoked_at is None)
    )
    accounts = tables.accounts.changed_rows()
    owners = {key for key, was, is_ in accounts if was and is_ and _rights(was) != _rights(is_)}
    owners |= {
        (is_ or was).account_id
        for _, was, is_ in tables.api_keys.changed_rows()
        if was is not None and (is_ is None or evolve(is_, used_at=was.used_at) != was)
    }
    owners |= {
        key
        for key, was, is_ in tables.second_factors.changed_rows()
        if (was is not None and was.is_enabled) is not (is_ is not None and is_.is_enabled)
    }
    return AccessChange(revoked, frozenset(owners)) if revoked or owners else None


def numbers_events(tables: Tables) -> bool:
    """Whether the open transaction gives numbers to events."""
    return any(key == NUMBERED and was != is_ for key, was, is_ in tables.event_marks.changed_rows())


def _is_running(*states: PromotedProduct | None) -> bool:
    return any(state is not None and state.status is PromotionStatus.RUNNING for state in states)


def _rights(account: Account) -> tuple[bool, bool]:
    return account.is_active, account.is_staff


def _shown(account: Account) -> tuple[object, ...]:
    return account.first_name, account.last_name, account.email, account.display_name, account.is_active
