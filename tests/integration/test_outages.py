"""Servers that go away under load: the short form of `python -m bench.outages`, and a queue that fills up."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg

from bench.outages import run
from tests.integration.deployment import Deployment
from tests.integration.engine_process import eventually


def test_outages_of_redis_and_postgresql_lose_no_acknowledged_order(tmp_path: Path) -> None:
    """PostgreSQL is killed and keeps every transaction that it has confirmed."""
    report = run(tmp_path, calm=1.5, away=3, killed=2)
    _calm, away, _back, killed, _again = report.phases
    assert report.is_clean, str(report)
    assert set(away.answers) == {202}, str(report)
    assert killed.answers[503], str(report)
    assert set(killed.answers) <= {202, 503}, str(report)


def test_a_full_queue_responds_503_at_once(tmp_path: Path, database: str, redis_url: str) -> None:
    with Deployment(tmp_path, database, redis_url, INTAKE_QUEUE="3") as deployment:
        buyer = deployment.person("buyer")
        product = {"name": "Tea pot", "category_id": 5, "price": "10.00", "stock": 100}
        made = buyer.post("/products/api/v1/", json=product).json()["id"]
        body = {"order_item": [{"product": made, "quantity": 1}]}
        with (
            psycopg.connect(database.replace("+psycopg", "")) as other,
            ThreadPoolExecutor(30) as pool,
        ):
            # The lock stops intake: the batch in progress and three more commands wait for it.
            other.execute("LOCK TABLE orders IN EXCLUSIVE MODE")
            sent = [pool.submit(buyer.post, "/orders/api/v1/", json=body) for _ in range(30)]
            eventually(lambda: sum(each.done() for each in sent) >= 20, "answers beyond the queue")
            other.rollback()
            answers = [each.result() for each in sent]
        refused = [each for each in answers if each.status_code == 503]
        assert {each.status_code for each in answers} == {202, 503}
        assert {each.json()["code"] for each in refused} == {"overloaded"}
        assert all(int(each.headers["retry-after"]) > 0 for each in refused)
        assert len(buyer.get("/orders/api/v1/").json()["results"]) == len(answers) - len(refused)
