"""`pricing/api/v1/experiments/`, and the result of an experiment at its policy."""

from typing import Any

import pytest

from scalecommerce_core.domain.identifiers import ExperimentId
from tests.unit.support.http_marketplace import Marketplace, Person, answer, problem

PRICING = "/pricing/api/v1/"
POLICIES = PRICING + "policies/"
EXPERIMENTS = PRICING + "experiments/"
PLAN = {"share": 0.4, "weeks": 8}


@pytest.fixture
def policy(seller: Person) -> Any:
    for _ in range(25):
        seller.list(price="20.00", cost="15.00", stock=5)
    return answer(seller.post(POLICIES, {"name": "Mine"}), 201)


def start(person: Person, policy: Any, **fields: Any) -> Any:
    return answer(person.post(EXPERIMENTS, {"policy": policy["id"], **PLAN, **fields}), 201)


def test_an_experiment_is_started_read_listed_and_ended(place: Marketplace, seller: Person, policy: Any) -> None:
    response = seller.post(EXPERIMENTS, {"policy": policy["id"], **PLAN, "seed": 7})
    made = answer(response, 201)
    here = f"{EXPERIMENTS}{made['id']}/"
    assert response.headers["location"] == here
    assert {name: made[name] for name in ("policy", "kind", "status", "share", "weeks", "seed")} == {
        "policy": policy["id"], "kind": "hold_out", "status": "running", "share": 0.4, "weeks": 8, "seed": 7,
    }  # fmt: skip
    assert (made["result"], made["sentence"]) == (None, "Not proven yet: there are too few sales so far.")
    assert answer(seller.get(here)) == made
    assert answer(seller.get(EXPERIMENTS))["results"] == [made]
    assert answer(seller.get(EXPERIMENTS + f"?policy={policy['id'] + 1}"))["results"] == []
    place.clock.advance(minutes=1)
    ended = answer(seller.post(here + "end/"))
    assert (ended["status"], ended["note"]) == ("ended", "It was ended by hand.")
    assert answer(seller.post(here + "end/")) == ended
    place.market.experiments.measure_due()
    measured = answer(seller.get(here))
    assert measured["measured_at"] is not None
    assert {name: measured["result"][name] for name in ("verdict", "measure", "lift", "products", "held_out")} == {
        "verdict": "no_difference", "measure": "profit", "lift": None, "products": 25, "held_out": 10,
    }  # fmt: skip


def test_the_policy_shows_its_newest_experiment(place: Marketplace, seller: Person, policy: Any) -> None:
    here = f"{POLICIES}{policy['id']}/"
    etag = seller.get(here).headers["etag"]
    assert policy["experiment"] is None
    assert seller.get(here, headers={"If-None-Match": etag}).status_code == 304
    made = start(seller, policy)
    summary = {"id": made["id"], "status": "running", "sentence": made["sentence"]}
    assert answer(seller.get(here, headers={"If-None-Match": etag}))["experiment"] == summary
    assert answer(seller.get(POLICIES))["results"][0]["experiment"] == summary
    assert answer(seller.patch(here, {"name": "Ours"}))["experiment"] == summary
    assert answer(seller.patch(here, {"is_active": False}))["experiment"]["status"] == "ended"
    place.market.experiments.measure(ExperimentId(made["id"]))
    assert answer(seller.get(here))["experiment"]["sentence"] == "Not proven: there were too few sales."


def test_a_repeated_request_starts_one_experiment(seller: Person, policy: Any) -> None:
    body = {"policy": policy["id"], **PLAN}
    first, second = (seller.post(EXPERIMENTS, body, headers={"Idempotency-Key": "once"}) for _ in range(2))
    assert answer(first, 201) == answer(second, 201)
    assert first.headers["location"] == second.headers["location"]
    assert problem(seller.post(EXPERIMENTS, body), 409)["code"] == "experiment_in_progress"


def test_an_experiment_that_is_not_possible_is_a_409(seller: Person) -> None:
    seller.list(price="20.00")
    policy = answer(seller.post(POLICIES, {"name": "Small"}), 201)
    refused = problem(seller.post(EXPERIMENTS, {"policy": policy["id"]}), 409)
    assert refused["code"] == "experiment_not_possible"
    assert "covers 1 products; a hold-out of 20% needs at least 50" in refused["detail"]


def test_fields_are_validated(seller: Person, policy: Any) -> None:
    problem(seller.post(EXPERIMENTS, {"policy": policy["id"], "share": 0.9}), 400, "share")
    problem(seller.post(EXPERIMENTS, {"policy": policy["id"], "kind": "other"}), 400, "kind")
    problem(seller.post(EXPERIMENTS, {"policy": policy["id"], "kind": "switchback", "weeks": 8}), 400, "weeks")
    problem(seller.post(EXPERIMENTS, {"policy": 999, **PLAN}), 400, "policy")


def test_experiments_of_others_are_not_visible_except_to_staff(
    seller: Person, buyer: Person, staff: Person, policy: Any
) -> None:
    problem(buyer.post(EXPERIMENTS, {"policy": policy["id"], **PLAN}), 400, "policy")
    made = start(staff, policy)
    here = f"{EXPERIMENTS}{made['id']}/"
    assert answer(seller.get(here)) == answer(staff.get(here)) == made
    assert made["seller"] == policy["seller"]
    problem(buyer.get(here), 404)
    problem(buyer.post(here + "end/"), 404)
    assert answer(buyer.get(EXPERIMENTS))["results"] == []
    assert answer(staff.get(EXPERIMENTS))["results"][0] == made
