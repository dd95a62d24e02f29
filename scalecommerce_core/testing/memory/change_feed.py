"""The changes of a transaction in memory that are reported to the change feed."""

from collections.abc import Callable, Mapping
from typing import Final

from attrs import evolve

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.product import Product
from scalecommerce_core.domain.promotion import PromotedProduct, PromotionStatus
from scalecommerce_core.ports import AccessChange, CatalogChange, ProductAspect, ProductScope
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
    aspects = None if sellers or tables.categories.changed_rows() else _changed_aspects(tables)
    return CatalogChange(number, frozenset(products), frozenset(sellers), aspects=aspects)


def _changed_aspects(tables: Tables) -> Mapping[ProductAspect, ProductScope | None]:
    scopes: dict[ProductAspect, ProductScope | None] = {}
    created = set()
    for key, was, is_ in tables.products.changed_rows():
        if was is None:
            created.add(key)
        found = [product for product in (was, is_) if product is not None]
        scope = ProductScope(
            frozenset(product.category_id for product in found), frozenset(product.seller_id for product in found)
        )
        for aspect, values in _ASPECTS.items():
            if (was is None and aspect is ProductAspect.MEMBERSHIP) or (was and is_ and values(was) != values(is_)):
                scopes[aspect] = _united(scopes.get(aspect, scope), scope)
    for key, had, has in tables.stock.changed_rows():
        before, after = had.available if had else 0, has.available if has else 0
        if key not in created and bool(before) != bool(after):
            scopes[ProductAspect.RESTOCKED if after else ProductAspect.SOLD_OUT] = None
    return scopes


def _united(one: ProductScope | None, other: ProductScope) -> ProductScope | None:
    return one and ProductScope(one.categories | other.categories, one.sellers | other.sellers)


_ASPECTS: Final[Mapping[ProductAspect, Callable[[Product], object]]] = {
    ProductAspect.MEMBERSHIP: lambda product: (product.category_id, product.is_active, product.withdrawn_at),
    ProductAspect.TEXT: lambda product: (product.name, product.brand, product.description),
    ProductAspect.PRICE: lambda product: product.price,
}


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
