"""`seed`: filling a database with believable data. What is heavy (numpy, Faker) is imported by who needs it."""

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from attrs import asdict

from adapters.cli.failures import CommandFailed, ExitCode
from adapters.cli.options import DataOption, JsonOption
from adapters.cli.runtime import OpenMarket, Runtime
from adapters.cli.screen import interactive, print_json, print_line, progress_bars, stderr_console
from adapters.cli.tables import columns, print_table
from scalecommerce_core.services.progress import Progress

if TYPE_CHECKING:
    from scalecommerce_core.services.seeding import Seeded, Seeding

KEPT = (
    "Whole batches were written and stay; what they hold is consistent. Steps that had not begun can be run on their"
    " own (`seed products`, `seed orders`), and another --rng-seed adds more."
)


class SeedStep(StrEnum):
    ALL = "all"
    USERS = "users"
    CATEGORIES = "categories"
    PRODUCTS = "products"
    ORDERS = "orders"


def seed(
    ctx: typer.Context,
    step: Annotated[
        SeedStep, typer.Argument(help="One step on its own; each needs what the ones before it make.")
    ] = SeedStep.ALL,
    *,
    users: Annotated[int, typer.Option(min=0, help="How many users, all with the password `admin`.")] = 10,
    products: Annotated[
        int, typer.Option(min=0, help="How many products, with stock, price history and policies.")
    ] = 500,
    orders: Annotated[
        int, typer.Option(min=0, help="How many orders, with 1 to 10 lines each, in all states.")
    ] = 5_000,
    rng_seed: Annotated[
        int,
        typer.Option(
            "--rng-seed", metavar="N", min=0, help="The same number gives the same data; another one adds more."
        ),
    ] = 42,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.", show_default=False)] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fill the database with users, categories, products and orders that look like a running shop's.

    Stock, totals and price history are consistent, and open orders do not expire for a week. On a database that
    does not belong to `scalecommerce up` it asks first, since everybody can log in as a seeded user.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        if not opened.embedded and not yes:
            _ask(opened.place)
        begun = time.perf_counter()
        with progress_bars(KEPT, quiet=as_json) as progress:
            wanted = {SeedStep.USERS: users, SeedStep.PRODUCTS: products, SeedStep.ORDERS: orders}
            made = _made(opened, step, wanted, rng_seed, progress)
        seconds = time.perf_counter() - begun
    if as_json:
        rate = round(made.rows / seconds)
        print_json({**asdict(made), "rows": made.rows, "seconds": round(seconds, 3), "rows_per_second": rate})
    else:
        _print(made, seconds)


def _ask(place: str) -> None:
    if not interactive():
        raise CommandFailed(
            f"This would add made-up users, whose password everybody knows, to {place}. Say --yes if that is wanted.",
            ExitCode.USAGE,
        )
    stderr_console().print(f"This adds made-up users, whose password everybody knows, and their data to {place}.")
    if not typer.confirm("Go on?", err=True):
        raise CommandFailed("Nothing was changed.")


def _made(
    opened: OpenMarket, step: SeedStep, counts: Mapping[SeedStep, int], rng_seed: int, progress: Progress
) -> "Seeded":
    from adapters.cli.vocabulary import vocabulary
    from scalecommerce_core.services.seeding import AlreadySeeded, Seeding

    market = opened.market
    seeding = Seeding(
        market.store,
        market.queries,
        market.clock,
        opened.passwords,
        vocabulary=vocabulary(rng_seed),
        currency=market.currency,
    )
    try:
        return _seeded(seeding, step, counts, rng_seed, progress)
    except AlreadySeeded as error:
        raise CommandFailed(
            f"Seed {error.rng_seed} was used for {error.step} here before. To add more, choose another number:"
            f" --rng-seed {error.rng_seed + 1}, for example."
        ) from error


def _seeded(
    seeding: "Seeding", step: SeedStep, counts: Mapping[SeedStep, int], rng_seed: int, progress: Progress
) -> "Seeded":
    match step:
        case SeedStep.ALL:
            return seeding.everything(
                users=counts[SeedStep.USERS],
                products=counts[SeedStep.PRODUCTS],
                orders=counts[SeedStep.ORDERS],
                rng_seed=rng_seed,
                progress=progress,
            )
        case SeedStep.CATEGORIES:
            return seeding.categories()
        case SeedStep.USERS:
            return seeding.users(counts[step], rng_seed=rng_seed, progress=progress)
        case SeedStep.PRODUCTS:
            return seeding.products(counts[step], rng_seed=rng_seed, progress=progress)
        case SeedStep.ORDERS:
            return seeding.orders(counts[step], rng_seed=rng_seed, progress=progress)


def _print(made: "Seeded", seconds: float) -> None:
    from scalecommerce_core.services.seeding import PASSWORD

    counts = asdict(made, filter=lambda attribute, _: attribute.name != "orders_by_status").items()
    print_table(
        columns("made", "count", numbers=["count"]),
        [
            *([name.replace("_", " "), f"{count:,}"] for name, count in counts if count),
            *([f"  orders {status}", f"{count:,}"] for status, count in made.orders_by_status.items()),
        ],
        nothing="Nothing is new.",
    )
    print_line(f"{made.rows:,} rows in {seconds:.1f} s, {made.rows / seconds:,.0f} rows/s.")
    if made.users:
        print_line(f"Everybody among them logs in with the password {PASSWORD}.")
