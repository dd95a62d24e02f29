"""Records a plan through the engine. Each batch is a transaction; a later import finds recorded batches."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar
from uuid import NAMESPACE_DNS, UUID, uuid5

from adapters.cli.online_retail.lines import CURRENCY, GUEST, read_lines
from adapters.cli.online_retail.plan import PlannedProduct, ReplayPlan, build_plan
from adapters.cli.online_retail.report import ReplayReport, ReplayResult, build_report
from adapters.cli.online_retail.returns import Purchase
from adapters.cli.online_retail.source import open_rows
from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.identifiers import AccountId, CommandId, ProductId
from scalecommerce_core.domain.order import RefundLine
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.catalog import HistoricalProduct
from scalecommerce_core.services.gc_pause import gc_paused
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.ordering import HistoricalLine, HistoricalOrder, HistoricalRefund
from scalecommerce_core.services.product_files.csv_text import BadRow, Row
from scalecommerce_core.services.progress import Progress, no_progress

DOMAIN: Final = "online-retail.example"
SELLER_EMAIL: Final = f"shop@{DOMAIN}"
BATCH: Final = 1_000
"""Accounts or products per transaction."""
BATCH_LINES: Final = 30_000
"""Order lines per transaction."""

T = TypeVar("T")


class OtherHistory(Exception):
    """The engine already has products of the shop that were imported from another file."""


def import_online_retail(market: Market, path: Path, progress: Progress = no_progress) -> ReplayReport:
    """Import the file at `path`. A second import changes nothing; after an interruption, it continues.

    Raise `UnreadableFile`, `CannotPlan` or `OtherHistory` with a message for users; completed batches stay.
    """
    began = time.perf_counter()
    with gc_paused():
        with open_rows(path) as rows:
            plan = build_plan(read_lines(_counted(rows, progress)))
        outcome = replay(market, plan, progress)
    return build_report(plan, outcome, time.perf_counter() - began)


def replay(market: Market, plan: ReplayPlan, progress: Progress = no_progress) -> ReplayResult:
    """Record the parts of the plan that are not recorded yet."""
    accounts, new_accounts = _accounts(market, plan.customers, progress)
    seller = accounts[SELLER_EMAIL]
    products, new_products = _products(market, seller, plan.products, progress)
    orders = lines = known = 0
    for batch in _by_lines(plan.purchases):
        history = [_historical(purchase, seller, accounts, products) for purchase in batch]
        try:
            recorded = market.ordering.import_orders(history)
        except Invalid as error:
            raise OtherHistory(
                f"The stock of {SELLER_EMAIL} does not cover the sales in this file: its products were imported from"
                f" another file, or sold since. ({error})"
            ) from error
        orders, lines, known = orders + recorded.orders, lines + recorded.lines, known + recorded.known
        progress("orders", orders + known, len(plan.purchases))
    return ReplayResult(
        seller_id=seller,
        new_accounts=new_accounts,
        new_products=new_products,
        new_orders=orders,
        new_lines=lines,
        known_orders=known,
    )


def email_of(customer: str) -> str:
    return f"customer-{customer}@{DOMAIN}" if customer != GUEST else f"guest@{DOMAIN}"


def command_of(invoice: str) -> CommandId:
    """The id of an invoice's order, the same in every import; recorded orders are found by it."""
    return CommandId(uuid5(_INVOICES, invoice))


_INVOICES: Final[UUID] = uuid5(NAMESPACE_DNS, SELLER_EMAIL)


def _accounts(market: Market, customers: Sequence[str], progress: Progress) -> tuple[dict[str, AccountId], int]:
    """Create missing accounts. Return account ids by e-mail address, and the number of new accounts."""
    wanted = [
        SignUp(SELLER_EMAIL, None, first_name="Online", last_name="Retail", bio="Replayed from UCI Online Retail."),
        SignUp(email_of(GUEST), None, first_name="Guest"),
        *(SignUp(email_of(customer), None, first_name="Customer", last_name=customer) for customer in customers),
    ]
    with market.store.begin() as tx:
        ids = {email: account.id for email, account in tx.accounts.by_email([w.email for w in wanted]).items()}
    missing = [sign_up for sign_up in wanted if sign_up.email not in ids]
    for batch in _batches(missing, BATCH):
        for made in market.accounts.sign_up(batch):
            if isinstance(made, Exception):
                raise made
            ids[made.email] = made.id
        progress("accounts", len(ids), len(wanted))
    return ids, len(missing)


def _products(
    market: Market, seller: AccountId, planned: Sequence[PlannedProduct], progress: Progress
) -> tuple[dict[str, ProductId], int]:
    """Create missing products. Return product ids by stock code, and the number of new products."""
    categories = {category.name: category.id for category in market.queries.categories()}
    ids = dict(market.queries.ids_by_sku(seller, [product.code for product in planned]))
    missing = [product for product in planned if product.code not in ids]
    for batch in _batches(missing, BATCH):
        made = market.catalog.import_products(
            [
                HistoricalProduct(
                    owner=seller,
                    category_id=categories[product.category],
                    name=product.name,
                    sku=product.code,
                    prices=product.prices,
                    opening_stock=product.opening_stock,
                    opened_at=product.prices[0][0],
                )
                for product in batch
            ]
        )
        ids.update((product.code, shelved.product.id) for product, shelved in zip(batch, made, strict=True))
        progress("products", len(ids), len(planned))
    return ids, len(missing)


def _historical(
    purchase: Purchase, seller: AccountId, accounts: Mapping[str, AccountId], products: Mapping[str, ProductId]
) -> HistoricalOrder:
    return HistoricalOrder(
        id=command_of(purchase.invoice),
        buyer=accounts[email_of(purchase.customer)],
        currency=CURRENCY,
        placed_at=purchase.placed_at,
        lines=[HistoricalLine(products[line.code], seller, line.quantity, line.price) for line in purchase.lines],
        refunds=[
            HistoricalRefund(
                returned.line.at, [RefundLine(products[returned.code], returned.quantity, returned.price)]
            )
            for returned in purchase.returned
        ],
    )  # fmt: skip


def _by_lines(purchases: Iterable[Purchase]) -> Iterator[list[Purchase]]:
    batch: list[Purchase] = []
    lines = 0
    for purchase in purchases:
        if batch and lines + len(purchase.lines) > BATCH_LINES:
            yield batch
            batch, lines = [], 0
        batch.append(purchase)
        lines += len(purchase.lines)
    if batch:
        yield batch


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _counted(rows: Iterable[Row | BadRow], progress: Progress) -> Iterator[Row | BadRow]:
    done = 0
    for done, row in enumerate(rows, 1):
        if done % 10_000 == 0:
            progress("lines read", done, None)
        yield row
    progress("lines read", done, done)
