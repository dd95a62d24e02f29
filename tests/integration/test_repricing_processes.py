"""Runs of pricing policies in processes that die, and on the schedule of a real beat and worker."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from sqlalchemy import Connection, text

from adapters.db.core.engine import database_engine
from adapters.embedded.redis import EmbeddedRedis
from adapters.system import SystemClock
from scalecommerce_core.domain.identifiers import AccountId, PolicyId, ProductId
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.pricing import CreatePolicy, Pricing, PricingRules
from scalecommerce_core.services.results import unwrap_single
from tests.integration.deployment import Deployment
from tests.integration.engine_process import TOGETHER, environment, eventually, run
from tests.integration.real_market import real_market
from tests.unit.support.shop import MarketActions

RAILS = {"breaker_share": 1, "breaker_mean": 1, "dead_band": 0, "least_views": 0, "least_history_days": 0}
MOVING = {"unproven_margin": 0}
"""Prices change without sales."""
MANY = 13_000
"""The number of products of more than two ranges."""


SHELF = """
    WITH listed AS (
        INSERT INTO products (id, seller_id, category_id, name, brand, description, price, currency, cost, is_active,
                              created_at, updated_at, priced_at, version)
        SELECT nextval('product_ids'), :seller, 1 + n % 3, 'Cup ' || n, '', '', 1000 + n % 997, 'USD', 700, true,
               now() - interval '30 days', now(), now() - interval '30 days', 1
        FROM generate_series(1, :products) n RETURNING id, price, currency, priced_at
    ), history AS (
        INSERT INTO price_history (product_id, valid_from, price, currency, cause)
        SELECT id, priced_at, price, currency, 'listed' FROM listed
    ), stock AS (
        INSERT INTO stock (product_id, on_hand, reserved) SELECT id, 50, 0 FROM listed
    ), views AS (
        INSERT INTO product_views (product_id, views) SELECT id, 100 + id % 701 FROM listed
    )
    SELECT id FROM listed ORDER BY id
"""


def add_seller_with_products(url: str, *, products: int) -> tuple[AccountId, list[ProductId]]:
    """A seller with products that are a month old and have different numbers of views."""
    with real_market(url, SystemClock()) as market, looking(url) as connection:
        seller = MarketActions(market).person(f"seller-of-{products}")
        given = {"seller": seller.id, "products": products}
        ids = [ProductId(id_) for (id_,) in connection.execute(text(SHELF), given)]
        connection.commit()
    return seller.id, ids


def policy(market: Market, seller: AccountId, *, seconds: float = 7 * 86_400) -> PolicyId:
    document = {"name": "Learn", "guardrails": RAILS, "epoch_seconds": seconds, "parameters": MOVING}
    pricing = Pricing(market.store, market.clock, PricingRules(min_epoch=timedelta(seconds=1)))
    return unwrap_single(pricing.create([CreatePolicy(seller, document)])).id


@contextmanager
def looking(url: str) -> Iterator[Connection]:
    engine = database_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def prices(connection: Connection, ids: Sequence[ProductId]) -> Mapping[int, int]:
    rows = connection.execute(text("SELECT id, price FROM products WHERE id = ANY (:ids)"), {"ids": list(ids)})
    return {row.id: row.price for row in rows}


def check_books(connection: Connection) -> None:
    """Price history, event feed and decisions agree with each other and with the prices; price intervals do not
    overlap, and no event or decision exists twice."""
    for claim, statement in {
        "a price is the last of its history": """
            SELECT id FROM products JOIN LATERAL (
                SELECT price FROM price_history h WHERE h.product_id = id ORDER BY valid_from DESC LIMIT 1
            ) last ON true WHERE last.price <> products.price
        """,
        "a price by a policy follows another": """
            SELECT product_id FROM (
                SELECT product_id, cause, price,
                       lag(price) OVER (PARTITION BY product_id ORDER BY valid_from) AS before
                FROM price_history
            ) h WHERE cause = 'policy' AND (before IS NULL OR before = price)
        """,
        "each move was written once": """
            SELECT d.run_id, d.product_id FROM pricing_decisions d
            JOIN pricing_ranges r ON r.run_id = d.run_id AND d.product_id BETWEEN r.first AND r.last
            WHERE d.new_price <> d.old_price AND d.outcome = 0 AND r.written_at IS NOT NULL AND NOT EXISTS (
                SELECT FROM price_history h WHERE h.product_id = d.product_id AND h.valid_from = r.written_at
                AND h.price = d.new_price AND h.cause = 'policy'
            )
        """,
        "runs count what they did": """
            SELECT run.id FROM pricing_runs run WHERE status = 'DONE' AND (decided, moves) <> (
                SELECT count(*), count(*) FILTER (WHERE new_price <> old_price)
                FROM pricing_decisions d WHERE d.run_id = run.id
            )
        """,
        "each product has one turn in an epoch": """
            SELECT d.product_id, run.policy_id, run.epoch FROM pricing_decisions d
            JOIN pricing_runs run ON run.id = d.run_id GROUP BY 1, 2, 3 HAVING count(*) > 1
        """,
        "runs of one policy come one after the other": """
            SELECT a.id, b.id FROM pricing_runs a JOIN pricing_runs b ON b.policy_id = a.policy_id AND b.id > a.id
            WHERE b.started_at < a.finished_at
        """,
    }.items():
        assert connection.execute(text(statement)).all() == [], claim
    written, changed = connection.execute(
        text(
            "SELECT (SELECT coalesce(sum(written), 0) FROM pricing_runs),"
            " (SELECT count(*) FROM price_history WHERE cause = 'policy')"
        )
    ).one()
    assert written == changed


@pytest.mark.parametrize(
    "dies_at",
    [
        "runs.stage_decisions:after@2",
        "commit:before@5",
        "commit:before@10",
        "runs.apply_prices:after@2",
        "commit:after@14",
    ],
)
def test_another_process_finishes_the_run_of_a_killed_process_with_the_same_result(
    database: str, tmp_path: Path, dies_at: str
) -> None:
    seller, ids = add_seller_with_products(database, products=MANY)
    with real_market(database, SystemClock()) as market:
        chosen = policy(market, seller)
        planned = {decision.product_id: decision.new for decision in market.repricing.preview(chosen).decisions()}
    killed = run("reprice", cwd=tmp_path, DATABASE_URL=database, FAILPOINTS=dies_at)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with looking(database) as connection:
        (left,) = connection.execute(text("SELECT id FROM pricing_runs WHERE finished_at IS NULL")).all()
    (done,) = json.loads(run("reprice", "--json", cwd=tmp_path, DATABASE_URL=database).stdout)
    assert (done["run"], done["status"], done["looked_at"]) == (left.id, "DONE", MANY)
    assert done["written"] == len(done["moves"]) > 0
    with looking(database) as connection:
        assert prices(connection, ids) == planned
        check_books(connection)


def test_ctrl_c_keeps_completed_ranges_and_prints_how_to_continue(database: str, tmp_path: Path) -> None:
    add_seller_with_products(database, products=1)
    seller, _ = add_seller_with_products(database, products=MANY)
    with real_market(database, SystemClock()) as market:
        policy(market, seller)
    with looking(database) as blocker:
        # Another transaction locks the last product, so the run waits for it.
        blocker.execute(text("SELECT FROM products ORDER BY id DESC LIMIT 1 FOR UPDATE"))
        process = subprocess.Popen(
            [*TOGETHER, "reprice"],
            cwd=tmp_path,
            env=environment(DATABASE_URL=database),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

        def waits() -> bool:
            with looking(database) as connection:
                written = "SELECT count(*) FROM pricing_ranges WHERE status = 'WRITTEN'"
                waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                return [connection.scalar(text(each)) for each in (written, waiting)] == [2, 1]

        eventually(waits, "a run that waits for its last range")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "Written prices stay. Run the command again" in err
    assert "Traceback" not in err
    (done,) = json.loads(run("reprice", "--json", cwd=tmp_path, DATABASE_URL=database).stdout)
    assert (done["status"], done["looked_at"]) == ("DONE", MANY)
    with looking(database) as connection:
        check_books(connection)


def test_policies_run_when_their_epochs_end_on_a_real_beat_and_worker(database: str, tmp_path: Path) -> None:
    """Two sellers with epochs of seconds; the first run of one of them was begun by a process that was killed."""
    sellers = [add_seller_with_products(database, products=40), add_seller_with_products(database, products=60)]
    with real_market(database, SystemClock()) as market:
        policies = [policy(market, seller, seconds=2) for seller, _ in sellers]
    killed = run(
        "reprice", cwd=tmp_path, DATABASE_URL=database, FAILPOINTS="runs.apply_prices:after@1", MIN_EPOCH_SECONDS="1"
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    def have_run() -> bool:
        with looking(database) as connection:
            rows = connection.execute(
                text("SELECT policy_id, count(*) AS runs FROM pricing_runs WHERE status = 'DONE' GROUP BY policy_id")
            )
            done = {row.policy_id: row.runs for row in rows}
        return all(done.get(each, 0) >= 4 for each in policies)

    (tmp_path / "redis").mkdir()
    with (
        EmbeddedRedis(tmp_path / "redis") as redis,
        Deployment(tmp_path / "site", database, redis.url, MIN_EPOCH_SECONDS="1"),
    ):
        eventually(have_run, "four runs of each policy")
    with looking(database) as connection:
        check_books(connection)
        for (_, ids), policy_id in zip(sellers, policies, strict=True):
            runs = connection.execute(
                text(
                    "SELECT epoch, trigger, decided FROM pricing_runs WHERE policy_id = :id AND finished_at IS NOT NULL"
                ),
                {"id": policy_id},
            ).all()
            assert sorted(epoch for epoch, *_ in runs) == list(range(len(runs)))
            assert {decided for *_, decided in runs} == {len(ids)}
            assert {trigger for epoch, trigger, _ in runs if epoch} == {"schedule"}
        assert connection.scalar(text("SELECT count(*) FROM price_history WHERE cause = 'policy'"))


MINE: Final = """
from typing import ClassVar

from attrs import frozen

from scalecommerce_core.pricing.interface import Proposal, Stateless, parameter, register


@register
@frozen
class Markup(Stateless):
    name: ClassVar[str] = "markup"
    share: float = parameter(0.4, at_least=0, at_most=5, says="Share of the cost that is added to it.")

    def propose(self, state, signals, epoch):
        return Proposal(signals.full_cost() * (1 + self.share))


@register
@frozen
class Broken(Stateless):
    name: ClassVar[str] = "broken"

    def propose(self, state, signals, epoch):
        raise RuntimeError("no such luck")
"""


def test_a_custom_policy_is_selected_over_http_and_run_by_a_worker(database: str, tmp_path: Path) -> None:
    """Policies of three sellers: with a valid strategy, a failing one, and one that no process has."""
    (tmp_path / "mine.py").write_text(MINE)
    unknown, _ = add_seller_with_products(database, products=5)
    with real_market(database, SystemClock()) as market, looking(database) as connection:
        left = policy(market, unknown)
        gone = "UPDATE pricing_policies SET document = document || jsonb_build_object('policy', 'gone')"
        connection.execute(text(gone))
        connection.commit()
    (tmp_path / "redis").mkdir()
    with (
        EmbeddedRedis(tmp_path / "redis") as redis,
        Deployment(
            tmp_path / "site", database, redis.url, PRICING_POLICIES=str(tmp_path / "mine.py"), LOG_FORMAT="console"
        ) as site,
    ):
        runs = {}
        for kind, parameters in (("broken", {}), ("markup", {"share": 0.5})):
            seller = site.person(kind)
            kinds = seller.get("/pricing/api/v1/policy-kinds/").json()["results"]
            assert {"markup", "broken", "elasticity_learning"} <= {each["name"] for each in kinds}
            product = seller.post(
                "/products/api/v1/",
                json={"name": "Cup", "category_id": 5, "price": "20.00", "stock": 5, "cost": "15.00"},
            ).json()
            refused = {"name": "Mine", "policy": kind, "parameters": {"colour": 1}}
            assert seller.post("/pricing/api/v1/policies/", json=refused).status_code == 400
            chosen = {"name": "Mine", "policy": kind, "parameters": parameters}
            rails = RAILS | {"cooldown_days": 0}
            made = seller.post("/pricing/api/v1/policies/", json={**chosen, "guardrails": rails})
            assert made.status_code == 201, made.text

            def ended(seller: httpx2.Client = seller) -> Any:
                found = seller.get("/pricing/api/v1/runs/").json()["results"]
                return found[0] if found and found[0]["finished_at"] else None

            runs[kind] = eventually(ended, f"a run of {kind}")
            runs[kind]["price"] = seller.get(f"/products/api/v1/{product['id']}/").json()["price"]
        said = r"The pricing strategy 'broken' failed in propose: RuntimeError: no such luck \(mine\.py, line 25\)\."
        site.commands["worker"].says(rf"run {runs['broken']['id']} of policy \d+ \(broken\) failed: {said}")
        skipped = f"Policy {left} uses the pricing strategy 'gone', which is not installed"
        site.commands["worker"].says(f"policy skipped: {skipped}")
    assert (runs["markup"]["status"], runs["markup"]["price"]) == ("DONE", "21.00")
    assert (runs["broken"]["status"], runs["broken"]["price"]) == ("FAILED", "20.00")
    assert re.fullmatch(said, runs["broken"]["note"])
    shown = run("pricing", "policies", cwd=tmp_path, DATABASE_URL=database, PRICING_POLICIES="mine")
    assert "markup" in shown.stdout
    for settings, sentence in (
        ({"PRICING_POLICIES": "mine.py,nothing"}, "PRICING_POLICIES: there is no module nothing, neither in"),
        ({"PRICING_POLICIES": "mine:Nothing"}, "has no class Nothing; it has Broken, Markup"),
    ):
        wrong = run("worker", cwd=tmp_path, DATABASE_URL=database, **settings)
        assert wrong.returncode == 2
        assert sentence in " ".join(wrong.stderr.split())
