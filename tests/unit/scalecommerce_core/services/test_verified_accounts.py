import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import MarketError
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.services.catalog import CreateProduct
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.verified_accounts import EmailNotVerified, VerifiedAccounts
from scalecommerce_core.services.webhooks import CreateEndpoint
from scalecommerce_core.testing import MemoryStore, SettableClock, in_memory_market
from tests.unit.support.shop import CATEGORY, MarketActions, line, usd


def verify(store: MemoryStore, account: Account) -> None:
    with store.begin() as tx:
        locked = tx.accounts.lock([account.id])[account.id]
        locked.email_verified_at = locked.created_at
        tx.accounts.save([locked])


def test_unverified_accounts_neither_sell_nor_order_nor_create_webhooks() -> None:
    memory = MemoryStore()
    actions = MarketActions(market := in_memory_market(SettableClock(), memory=memory, require_verified_email=True))
    known, new = actions.person("known"), actions.person("new")
    verify(memory, known)
    tea = actions.list(known)
    order = actions.command(new, line(tea))
    assert isinstance(unwrapped(market.ordering.place([order, actions.command(known, line(tea))])[0]), EmailNotVerified)
    assert market.ordering.decide().reserved == 1
    outcomes = market.catalog.create_products([CreateProduct(new.id, CATEGORY, "Tea", usd("1.00"))])
    assert isinstance(unwrapped(outcomes[0]), EmailNotVerified)
    with pytest.raises(EmailNotVerified):
        unwrap_single(market.webhooks.create([CreateEndpoint(new.id, "https://example.com/")]))
    verify(memory, new)
    assert actions.place(new, line(tea)).buyer_id == new.id
    assert actions.list(new) > ProductId(0)


def unwrapped(outcome: object) -> MarketError:
    assert isinstance(outcome, MarketError)
    return outcome


def test_verified_accounts_are_read_once_and_none_without_the_requirement() -> None:
    memory = MemoryStore()
    actions = MarketActions(in_memory_market(memory=memory))
    known, new = actions.person("known"), actions.person("new")
    verify(memory, known)
    reads: list[object] = []

    class Counted:
        def get_many(self, ids: object) -> object:
            reads.append(ids)
            with memory.begin() as tx:
                return tx.accounts.get_many(ids)  # type: ignore[arg-type]

    class Tx:
        accounts = Counted()

    rule, tx = VerifiedAccounts(required=True), Tx()
    for _ in range(2):
        assert set(rule.unverified(tx, [known.id, new.id])) == {new.id}  # type: ignore[arg-type]
    assert reads == [{known.id, new.id}, {new.id}]
    assert not VerifiedAccounts().unverified(tx, [new.id])  # type: ignore[arg-type]
    assert len(reads) == 2
