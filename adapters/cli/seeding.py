"""`seed`: fill a database with generated data. Heavy modules (numpy, Faker) are imported on use."""

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

ON_INTERRUPT = (
    "Completed batches stay and are consistent. Steps that were not started can be run separately (`seed products`,"
    " `seed orders`); another --rng-seed adds more data."
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
        SeedStep, typer.Argument(help="Step to run; each step needs the data of the steps before it.")
    ] = SeedStep.ALL,
    *,
    users: Annotated[int, typer.Option(min=0, help="Number of users; all have the password `admin`.")] = 10,
    products: Annotated[
        int, typer.Option(min=0, help="Number of products, with stock, price history and policies.")
    ] = 500,
    orders: Annotated[
        int, typer.Option(min=0, help="Number of orders in all states, with 1 to 10 lines each.")
    ] = 5_000,
    rng_seed: Annotated[
        int,
        typer.Option(
            "--rng-seed",
            metavar="N",
            min=0,
            help="Seed of the random numbers: the same seed gives the same data, another one adds more.",
        ),
    ] = 42,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.", show_default=False)] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fill the database with generated users, categories, products and orders.

    Stock, totals and price history are consistent, and open orders do not expire for a week. Asks for confirmation on
    a database that does not belong to `scalecommerce up`, because the password of seeded users is public.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        if not opened.embedded and not yes:
            _ask(opened.place)
        begun = time.perf_counter()
        with progress_bars(ON_INTERRUPT, quiet=as_json) as progress:
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
            f"This would add users with a publicly known password to {place}. Pass --yes to confirm.",
            ExitCode.USAGE,
        )
    stderr_console().print(f"This adds users with a publicly known password, and their data, to {place}.")
    if not typer.confirm("Continue?", err=True):
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
            f"Seed {error.rng_seed} was already used for {error.step} in this database. To add more, choose another"
            f" seed, for example --rng-seed {error.rng_seed + 1}."
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
            made = seeding.products(counts[step], rng_seed=rng_seed, progress=progress)
            return made + seeding.policies()
        case SeedStep.ORDERS:
            made = seeding.orders(counts[step], rng_seed=rng_seed, progress=progress)
            return made + seeding.policies()


def _print(made: "Seeded", seconds: float) -> None:
    from scalecommerce_core.services.seeding import PASSWORD

    counts = asdict(made, filter=lambda attribute, _: attribute.name != "orders_by_status").items()
    print_table(
        columns("created", "count", numbers=["count"]),
        [
            *([name.replace("_", " "), f"{count:,}"] for name, count in counts if count),
            *([f"  orders {status}", f"{count:,}"] for status, count in made.orders_by_status.items()),
        ],
        nothing="Nothing was created.",
    )
    print_line(f"{made.rows:,} rows in {seconds:.1f} s, {made.rows / seconds:,.0f} rows/s.")
    if made.users:
        print_line(f"The password of all created users is {PASSWORD}.")
