"""`pricing/api/v1/`: policies, previews, runs, rollback and assignments."""

import math
from decimal import Decimal
from typing import Any

import pytest

from scalecommerce_core.domain.identifiers import PolicyId, ProductId, RunId
from scalecommerce_core.pricing.interface import registered_strategies
from scalecommerce_core.pricing.runs import ApprovalLimits
from scalecommerce_core.services.pricing import MAX_POLICIES_PER_SELLER
from scalecommerce_core.services.repricing import Repricing, Selection
from tests.unit.support.http_marketplace import (
    PASSWORD,
    PRODUCTS,
    Marketplace,
    Person,
    Visitor,
    answer,
    marketplace,
    problem,
)
from tests.unit.support.user_policies import Markup, proposing, temporarily_registered

PRICING = "/pricing/api/v1/"
POLICIES = PRICING + "policies/"
RUNS = PRICING + "runs/"
EAGER = {"least_views": 0, "least_history_days": 0, "cooldown_days": 0, "breaker_share": 1, "breaker_mean": 1}
"""Guardrails that allow a new product to be repriced immediately."""


def create(person: Person, **fields: Any) -> Any:
    return answer(person.post(POLICIES, {"name": "Mine", **fields}), 201)


def at(made: Any, tail: str = "") -> str:
    return f"{POLICIES}{made['id']}/{tail}"


def wares(seller: Person, count: int = 1, **fields: Any) -> list[Any]:
    return [seller.list(price="20.00", cost="19.00", stock=5, **fields) for _ in range(count)]


def wanting(place: Marketplace, seller: Person, **fields: Any) -> Any:
    """An active policy that proposes another price in its first epoch, by the prior of `elasticity_learning`."""
    made = create(seller, guardrails=EAGER, parameters={"vary": False, "caution": 0}, **fields)
    place.clock.advance(minutes=1)
    return made


def run(place: Marketplace, policy: Any, **only: Any) -> Any:
    return place.market.repricing.run(PolicyId(policy["id"]), only=Selection(**only))


def test_strategies_are_listed_with_their_parameters(anybody: Visitor) -> None:
    response = anybody.get(PRICING + "policy-kinds/")
    listed = answer(response)
    kinds = {kind["name"]: kind for kind in listed["results"]}
    assert {"elasticity_learning", "hill_climb", "threshold", "price_grid", "inventory"} <= kinds.keys()
    assert all(kind["description"] for kind in kinds.values())
    climb = {each["name"]: each for each in kinds["hill_climb"]["parameters"]}
    assert (climb["step"]["type"], climb["step"]["default"]) == ("number", 0.04)
    assert climb["step"]["minimum"] < 0.04 < climb["step"]["maximum"]
    rails = {each["name"]: each for each in listed["guardrails"]}
    assert rails["ending"]["choices"] == ["none", "99", "90", "whole"]
    etag = response.headers["etag"]
    assert anybody.get(PRICING + "policy-kinds/", headers={"If-None-Match": etag}).status_code == 304


def test_a_setting_accepts_fractions_exactly_if_it_is_listed_as_a_number(seller: Person) -> None:
    listed = answer(seller.get(PRICING + "policy-kinds/"))
    made = create(seller)
    numbers = [
        (place, setting)
        for place, settings in (
            *(((kind["name"], "parameters"), kind["parameters"]) for kind in listed["results"]),
            (("elasticity_learning", "guardrails"), listed["guardrails"]),
        )
        for setting in settings
        if setting["type"] in {"integer", "number"}
    ]
    assert {setting["type"] for _, setting in numbers} == {"integer", "number"}
    for (strategy, place), setting in numbers:
        middle = (setting["minimum"] + setting["maximum"]) / 2
        fraction = math.floor(middle) + 0.5 if setting["maximum"] - setting["minimum"] > 2 else middle + 0.001
        patch = {"policy": strategy, place: {setting["name"]: fraction}}
        said = seller.patch(at(made), patch).json().get("errors", {}).get(f"{place}.{setting['name']}", [])
        assert (said == ["Must be a whole number."]) == (setting["type"] == "integer"), (setting, said)


def test_a_user_strategy_is_listed_and_its_parameters_are_validated() -> None:
    with temporarily_registered(Markup), marketplace() as place:
        seller = place.person()
        kinds = {kind["name"]: kind for kind in answer(seller.get(PRICING + "policy-kinds/"))["results"]}
        assert kinds["markup"]["description"] == "Cost plus a share of the cost."
        schemas = answer(seller.get("/openapi.json"))["components"]["schemas"]
        for body in ("NewPolicy", "PolicyPatch"):
            assert {"markup", "elasticity_learning"} <= set(schemas[body]["properties"]["policy"]["enum"])
        made = create(seller, policy="markup", parameters={"share": 0.5}, guardrails=EAGER)
        assert (made["policy"], made["parameters"]) == ("markup", {"share": 0.5})
        wrong = {"name": "x", "policy": "markup", "parameters": {"share": 9, "y": 1}}
        problem(seller.post(POLICIES, wrong), 400, "parameters.share", "parameters.y")
        (product,) = wares(seller)
        place.clock.advance(minutes=1)
        assert run(place, made).written == 1
        assert answer(seller.get(f"{PRODUCTS}{product['id']}/"))["price"] == "21.00"
    assert "markup" not in registered_strategies()


def test_a_failing_or_unknown_strategy_is_a_409_that_names_it() -> None:
    def raising(_signals: Any) -> Any:
        raise RuntimeError("no such luck")

    with marketplace() as place:
        seller = place.person()
        wares(seller)
        with temporarily_registered(proposing(raising)):
            made = create(seller, policy="faulty", guardrails=EAGER)
            failed = problem(seller.get(at(made, "preview/")), 409)
            run(place, made)
        assert failed["code"] == "policy_failed"
        assert failed["detail"].startswith(
            "The pricing strategy 'faulty' failed in propose: RuntimeError: no such luck"
        )
        (shown,) = answer(seller.get(RUNS))["results"]
        assert (shown["status"], shown["note"]) == ("FAILED", failed["detail"])
        unknown = problem(seller.get(at(made, "preview/")), 409)
        assert unknown["code"] == "policy_unknown"
        assert "uses the pricing strategy 'faulty', which is not installed" in unknown["detail"]
        assert answer(seller.patch(at(made), {"is_active": False}))["policy"] == "faulty"


def test_a_decision_contains_its_inputs_and_when_its_price_was_in_force(place: Marketplace, seller: Person) -> None:
    (product,) = wares(seller)
    done = run(place, wanting(place, seller))
    place.clock.advance(minutes=1)
    answer(seller.patch(f"{PRODUCTS}{product['id']}/", {"price": "22.00"}))
    (of_product,) = answer(seller.get(f"{PRICING}products/{product['id']}/decisions/"))["results"]
    (of_run,) = answer(seller.get(f"{RUNS}{done.id}/decisions/"))["results"]
    assert of_product == of_run
    assert of_run["explained"]["reference"] == "20.00, the seller's starting price"
    assert of_run["explained"]["belief"].startswith("a price 1 % higher sells 4.4 % less, plus or minus 2.7")
    believed = of_run["belief"]
    # The seller's price is optimal at an elasticity of -8 or less, of whose difference to -2.4 a part is believed.
    assert believed["elasticity"] == pytest.approx(-4.36)
    assert believed["category_elasticity"] == pytest.approx(-4.36)
    assert believed["standard_deviation"] == pytest.approx(2.66, abs=0.01)
    assert of_run["in_force_from"] < of_run["in_force_until"]
    climb = create(seller, policy="hill_climb", guardrails=EAGER)
    run(place, climb)
    assert answer(seller.get(f"{PRICING}products/{product['id']}/decisions/"))["results"][0]["belief"] is None


def test_a_price_is_explained_in_words_and_figures(place: Marketplace, seller: Person, stranger: Person) -> None:
    (product,) = wares(seller)
    path = f"{PRICING}products/{product['id']}/explanation/"
    before = answer(seller.get(path))
    assert (before["price"], before["proposed_price"], before["best_price"]) == ("20.00", None, None)
    assert (before["curve"], before["decision"], before["note"]["key"]) == (None, None, "curve.no_decision")
    assert [move["reasons"][0]["key"] for move in before["path"]] == ["cause.listed"]
    done = run(place, wanting(place, seller))
    place.clock.advance(minutes=1)
    answer(seller.patch(f"{PRODUCTS}{product['id']}/", {"price": "22.00"}))
    found = answer(seller.get(path))
    listed, moved, edited = found["path"]
    assert (listed["cause"], moved["cause"], edited["cause"]) == ("listed", "policy", "manual")
    assert (moved["run"], edited["run"], edited["valid_to"]) == (done.id, None, None)
    assert moved["reasons"][0]["key"].startswith("motive.")
    assert edited["reasons"] == [
        {"key": "cause.manual", "text": "the seller set this price", "template": "the seller set this price",
         "parameters": {}}
    ]  # fmt: skip
    assert [each["price"] for each in found["by_price"]] == sorted(["20.00", moved["price"], "22.00"])
    decision = found["decision"]
    assert (decision["run"], decision["outcome"]) == (done.id, "written")
    assert decision["sentence"].startswith(decision["change"]["text"])
    assert decision["change"]["parameters"]["price"] == {
        "kind": "amount", "value": moved["price"], "text": moved["price"]
    }  # fmt: skip
    assert decision["outcome_message"]["parameters"]["since"]["kind"] == "moment"
    inputs = {each["heading"]: each["phrases"] for each in decision["inputs"]}
    assert inputs["reference"][0]["text"] == "20.00, the seller's starting price"
    assert found["own_price"] == "20.00"
    assert float(found["floor"]) < 20 < float(found["ceiling"])
    staff = place.person(is_staff=True)
    assert answer(staff.get(path))["path"] == found["path"]
    problem(stranger.get(path), 404)
    problem(seller.get(f"{path}?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z"), 400, "from")
    problem(seller.get(f"{path}?from=2126-01-02T00:00:00Z"), 400, "from")
    problem(seller.get(f"{path}?to=0001-01-02T00:00:00Z"), 400, "from")
    assert answer(seller.get(f"{path}?to=2001-01-01T00:00:00Z"))["path"] == []


def test_the_learnt_demand_of_a_product_is_shown(place: Marketplace, seller: Person, buyer: Person) -> None:
    (product,) = wares(seller)
    place.clock.advance(days=1)
    for person in (seller, buyer):
        person.token = place.market.accounts.log_in(person.email, PASSWORD).access
    for _ in range(3):
        answer(buyer.get(f"{PRODUCTS}{product['id']}/"))
    place.flush_views()
    place.sell(buyer, (product["id"], 1))
    run(place, create(seller, guardrails=EAGER))
    found = answer(seller.get(f"{PRICING}products/{product['id']}/explanation/"))
    curve = found["curve"]
    assert curve["views_a_week"] > 0
    prices = [float(point["price"]) for point in curve["points"]]
    assert prices == sorted(prices)
    assert float(found["floor"]) <= prices[0] < prices[-1] <= float(found["ceiling"])
    assert found["best_price"] in {point["price"] for point in curve["points"]}
    units = curve["points"][0]["units_a_week"]
    assert units["low"] < units["expected"] < units["high"]


def test_a_policy_has_defaults_for_everything_but_its_name(seller: Person) -> None:
    response = seller.post(POLICIES, {"name": "Mine"})
    made = answer(response, 201)
    assert response.headers["location"] == at(made)
    assert made["seller"] == seller.id
    assert (made["policy"], made["parameters"], made["epoch_seconds"]) == ("elasticity_learning", {}, 604_800)
    assert made["guardrails"]["step"] == 0.05
    assert (made["is_active"], made["is_shadow"], made["assigned_only"]) == (True, False, False)
    read = seller.get(at(made))
    assert answer(read) == made
    assert read.headers["etag"] == response.headers["etag"] == '"v1"'
    assert [each["id"] for each in answer(seller.get(POLICIES))["results"]] == [made["id"]]


def test_given_settings_are_stored(seller: Person) -> None:
    chosen = {
        "policy": "hill_climb",
        "parameters": {"step": 0.03, "enough_units": 10},
        "epoch_seconds": 86_400,
        "fee": 0.085,
        "stock_days": 2.5,
        "stock_until": "2030-01-31T18:00:00Z",
        "category_id": 3,
        "is_shadow": True,
        "is_active": False,
    }
    made = create(seller, guardrails={"ending": "99", "step": 0.04}, **chosen)
    assert {name: made[name] for name in chosen} == chosen
    assert (made["guardrails"]["ending"], made["guardrails"]["step"]) == ("99", 0.04)


def test_invalid_fields_are_named(seller: Person) -> None:
    for fields, named in (
        ({"policy": "magic"}, "policy"),
        ({"parameters": {"caution": -1}}, "parameters.caution"),
        ({"parameters": {"courage": 1}}, "parameters.courage"),
        ({"parameters": {"vary": "yes"}}, "parameters.vary"),
        ({"parameters": {"seed": 0.5}}, "parameters.seed"),
        ({"guardrails": {"step": 2}}, "guardrails.step"),
        ({"guardrails": {"step": 1e300}}, "guardrails.step"),
        ({"guardrails": {"ending": "7"}}, "guardrails.ending"),
        ({"category_id": 77}, "category_id"),
        ({"category_id": 3, "assigned_only": True}, "category_id"),
        ({"epoch_seconds": 0.5}, "epoch_seconds"),
        ({"fee": 1}, "fee"),
        ({"stock_days": 0}, "stock_days"),
        ({"stock_until": "2001-01-31T18:00:00Z"}, "stock_until"),
        ({"stock_until": "2030-01-31T18:00:00"}, "stock_until"),
        ({"name": " "}, "name"),
    ):
        problem(seller.post(POLICIES, {"name": "Mine", **fields}), 400, named)
    problem(seller.post(POLICIES, {}), 400, "name")
    # Beyond the largest exponent of decimal arithmetic.
    for number in ("1e999999999", "-1e999999999"):
        body = f'{{"name": "Mine", "guardrails": {{"step": {number}}}}}'.encode()
        headers = {"Content-Type": "application/json"}
        problem(seller.send("POST", POLICIES, content=body, headers=headers), 400, "guardrails.step")


def test_a_repeated_key_creates_one_policy(seller: Person) -> None:
    headers = {"Idempotency-Key": "one-policy"}
    first, again = (seller.post(POLICIES, {"name": "Mine"}, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    problem(seller.post(POLICIES, {"name": "Other"}, headers=headers), 422)
    assert len(answer(seller.get(POLICIES))["results"]) == 1


def test_the_number_of_policies_is_limited() -> None:
    with marketplace() as place:  # a separate market, so that lists of policies stay short in the other tests
        seller = place.person()
        for _ in range(MAX_POLICIES_PER_SELLER):
            create(seller, is_active=False)
        assert problem(seller.post(POLICIES, {"name": "Mine"}), 409)["code"] == "too_many_policies"


def test_a_policy_is_edited_and_deleted_with_if_match(seller: Person) -> None:
    made = create(seller, parameters={"caution": 1})
    edited = seller.patch(at(made), {"is_active": False, "parameters": {}}, headers={"If-Match": '"v1"'})
    assert edited.headers["etag"] == '"v2"'
    assert (answer(edited)["is_active"], answer(edited)["parameters"], answer(edited)["version"]) == (False, {}, 2)
    assert seller.get(at(made), headers={"If-None-Match": '"v2"'}).status_code == 304
    problem(seller.patch(at(made), {"name": "Late"}, headers={"If-Match": '"v1"'}), 412)
    problem(seller.patch(at(made), {"guardrails": {"step": -1}}), 400, "guardrails.step")
    assert answer(seller.get(at(made)))["version"] == 2
    problem(seller.delete(at(made), headers={"If-Match": '"v1"'}), 412)
    assert seller.delete(at(made), headers={"If-Match": '"v2"'}).status_code == 204
    problem(seller.get(at(made)), 404)
    problem(seller.delete(at(made)), 404)


def test_a_preview_returns_decisions_and_changes_nothing(place: Marketplace, seller: Person) -> None:
    products = wares(seller, 3)
    made = wanting(place, seller, is_active=False)
    seen = answer(seller.get(at(made, "preview/"), params={"limit": 2}))
    assert (seen["policy"], seen["looked_at"], len(seen["decisions"])) == (made["id"], 2, 2)
    assert [each["product"] for each in seen["decisions"]] == [products[0]["id"], products[1]["id"]]
    assert seen["moves"] == sum(each["old_price"] != each["new_price"] for each in seen["decisions"]) == 2
    first = seen["decisions"][0]
    assert (first["old_price"], first["currency"]) == ("20.00", products[0]["currency"])
    assert (first["motive"], first["guardrails"]) == ("trying", [])
    assert first["new_price"] in first["sentence"]
    assert answer(seller.get(at(made, "preview/"))) == answer(seller.get(at(made, "preview/")))
    assert answer(seller.get(at(made, "preview/"), params={"category": 2}))["decisions"] == []
    assert answer(seller.get(f"{PRODUCTS}{products[0]['id']}/"))["price"] == "20.00"
    assert answer(seller.get(RUNS))["results"] == []
    problem(seller.get(at(made, "preview/"), params={"limit": 1_001}), 400, "limit")


def test_a_run_lists_its_decisions_and_is_rolled_back_as_a_whole(place: Marketplace, seller: Person) -> None:
    products = wares(seller, 3)
    made = wanting(place, seller)
    done = run(place, made)
    (shown,) = answer(seller.get(RUNS, params={"policy": made["id"]}))["results"]
    assert shown == answer(seller.get(f"{RUNS}{done.id}/"))
    assert (shown["policy"], shown["status"], shown["products"], shown["written"]) == (made["id"], "DONE", 3, 3)
    first = answer(seller.get(f"{RUNS}{done.id}/decisions/", params={"page_size": 2}))
    rest = answer(seller.get(first["next"]))
    decisions = first["results"] + rest["results"]
    assert [each["product"] for each in decisions] == [product["id"] for product in products]
    assert rest["next"] is None
    for product, decision in zip(products, decisions, strict=True):
        assert (decision["run"], decision["outcome"], decision["old_price"]) == (done.id, "written", "20.00")
        assert answer(seller.get(f"{PRODUCTS}{product['id']}/"))["price"] == decision["new_price"] != "20.00"
        of_product = answer(seller.get(f"{PRICING}products/{product['id']}/decisions/"))["results"]
        assert of_product == [decision]
    rolled = answer(seller.post(f"{RUNS}{done.id}/rollback/"))
    assert rolled["status"] == "ROLLING_BACK"
    place.market.repricing.finish(done.id)
    again = answer(seller.post(f"{RUNS}{done.id}/rollback/"))
    assert (again["status"], again["undone"]) == ("ROLLED_BACK", 3)
    assert {answer(seller.get(f"{PRODUCTS}{each['id']}/"))["price"] for each in products} == {"20.00"}


def test_price_changes_of_runs_and_rollbacks_change_the_etag(
    place: Marketplace, seller: Person, anybody: Visitor
) -> None:
    (product,) = wares(seller)
    page = f"{PRODUCTS}{product['id']}/"

    def kept(tag: str) -> int:
        return anybody.get(page, headers={"If-None-Match": tag}).status_code

    before = anybody.get(page).headers["etag"]
    done = run(place, wanting(place, seller))
    assert kept(before) == 200
    moved = anybody.get(page).headers["etag"]
    assert kept(moved) == 304
    answer(seller.post(f"{RUNS}{done.id}/rollback/"))
    place.market.repricing.finish(done.id)
    assert kept(moved) == 200


def test_a_run_is_rolled_back_while_the_next_one_is_in_progress(place: Marketplace, seller: Person) -> None:
    (product,) = wares(seller)
    made = wanting(place, seller, epoch_seconds=60)
    done = run(place, made)
    place.clock.advance(minutes=1)
    begun = place.market.repricing.begin(PolicyId(made["id"]))
    place.market.repricing.step(begun.id)  # decided, but not written
    assert answer(seller.post(f"{RUNS}{done.id}/rollback/"))["status"] == "ROLLING_BACK"
    place.market.repricing.finish(done.id)
    place.market.repricing.finish(begun.id)
    assert answer(seller.get(f"{RUNS}{done.id}/"))["undone"] == 1
    later = answer(seller.get(f"{RUNS}{begun.id}/"))
    assert (later["status"], later["written"]) == ("DONE", 0)
    (decision,) = answer(seller.get(f"{RUNS}{begun.id}/decisions/"))["results"]
    assert (decision["outcome"], decision["old_price"] != "20.00") == ("superseded", True)
    assert answer(seller.get(f"{PRODUCTS}{product['id']}/"))["price"] == "20.00"
    causes = [each["cause"] for each in answer(seller.get(f"{PRODUCTS}{product['id']}/price-history/"))["intervals"]]
    assert causes == ["rollback", "policy", "listed"]


def test_statistics_separate_the_prices_of_a_policy(place: Marketplace, seller: Person, buyer: Person) -> None:
    (product,) = wares(seller)
    path = f"{PRODUCTS}{product['id']}/"
    made = wanting(place, seller, epoch_seconds=60)
    expected = []
    for looks, sold in ((3, 1), (2, 2), (1, 0)):
        shown = [answer(buyer.get(path)) for _ in range(looks)]
        place.flush_views()
        for _ in range(sold):
            place.sell(buyer, (product["id"], 1))
        price = Decimal(shown[0]["price"])
        expected.append((str(price), looks, sold, str(sold * price), sold / looks, f"{sold * (price - 19):.2f}"))
        run(place, made)
        place.clock.advance(minutes=1)
    still, *found = answer(seller.get(f"{path}statistics/"))["prices"]
    figures = ("price", "views", "orders", "revenue", "conversion_rate", "profit")
    shown = [tuple(each[name] for name in figures) for each in reversed(found)]
    assert [(*each[:3], f"{Decimal(each[3]):.2f}", *each[4:]) for each in expected] == shown
    assert len({price for price, *_ in expected}) == 3
    assert [each["cause"] for each in (still, *found)] == ["policy", "policy", "policy", "listed"]
    assert (still["views"], still["orders"], still["profit"]) == (0, 0, "0.00")


def test_decisions_can_be_filtered_by_price_changes(place: Marketplace, seller: Person) -> None:
    moving, still = wares(seller, 2)
    answer(seller.patch(f"{PRODUCTS}{still['id']}/", {"min_price": "20.00", "max_price": "20.00"}))
    done = run(place, wanting(place, seller))
    path = f"{RUNS}{done.id}/decisions/"
    assert len(answer(seller.get(path))["results"]) == 2
    (only,) = answer(seller.get(path, params={"moves": "true"}))["results"]
    assert only["product"] == moving["id"]


def test_a_run_without_price_changes_cannot_be_rolled_back(place: Marketplace, seller: Person) -> None:
    wares(seller)
    done = run(place, wanting(place, seller, is_shadow=True))
    assert answer(seller.get(f"{RUNS}{done.id}/"))["is_shadow"] is True
    assert problem(seller.post(f"{RUNS}{done.id}/rollback/"), 409)["code"] == "run_not_reversible"


def test_a_run_in_progress_is_cancelled(place: Marketplace, seller: Person) -> None:
    wares(seller)
    begun = place.market.repricing.begin(PolicyId(wanting(place, seller)["id"]))
    assert answer(seller.post(f"{RUNS}{begun.id}/cancel/"))["status"] == "CANCELLED"
    assert answer(seller.post(f"{RUNS}{begun.id}/cancel/"))["status"] == "CANCELLED"


def test_a_product_follows_its_assignment(place: Marketplace, seller: Person) -> None:
    assigned, other = wares(seller, 2)
    made = wanting(place, seller, assigned_only=True)
    path = f"{PRICING}products/{assigned['id']}/"
    nothing = {"product": assigned["id"], "policy": None, "is_excluded": False}
    assert answer(seller.get(path)) == nothing
    assert answer(seller.patch(path, {"policy": made["id"]})) == {**nothing, "policy": made["id"]}
    seen = answer(seller.get(at(made, "preview/")))["decisions"]
    assert [each["product"] for each in seen] == [assigned["id"]] != [other["id"]]
    assert answer(seller.patch(path, {"is_excluded": True}))["is_excluded"] is True
    assert answer(seller.get(at(made, "preview/")))["decisions"] == []
    assert answer(seller.patch(path, {"is_excluded": False, "policy": None})) == nothing
    problem(seller.patch(path, {"policy": 10**9}), 400, "policy")


def test_other_accounts_get_a_404(place: Marketplace, seller: Person, stranger: Person) -> None:
    (product,) = wares(seller)
    made = wanting(place, seller)
    done = run(place, made)
    theirs = create(stranger)
    for path in (
        at(made), at(made, "preview/"), f"{RUNS}{done.id}/", f"{RUNS}{done.id}/decisions/",
        f"{PRICING}products/{product['id']}/", f"{PRICING}products/{product['id']}/decisions/",
    ):  # fmt: skip
        problem(stranger.get(path), 404)
    for path in (f"{RUNS}{done.id}/rollback/", f"{RUNS}{done.id}/cancel/"):
        problem(stranger.post(path), 404)
    problem(stranger.patch(at(made), {"is_active": False}), 404)
    problem(stranger.delete(at(made)), 404)
    problem(stranger.patch(f"{PRICING}products/{product['id']}/", {"is_excluded": True}), 404)
    problem(seller.patch(f"{PRICING}products/{product['id']}/", {"policy": theirs["id"]}), 400, "policy")
    assert [each["id"] for each in answer(stranger.get(POLICIES))["results"]] == [theirs["id"]]
    assert answer(stranger.get(RUNS))["results"] == []
    assert answer(seller.get(at(made)))["is_active"] is True


def test_staff_read_and_edit_everything(place: Marketplace, seller: Person, staff: Person) -> None:
    (product,) = wares(seller)
    made = wanting(place, seller)
    done = run(place, made)
    assert made["id"] in [each["id"] for each in answer(staff.get(POLICIES, params={"page_size": 100}))["results"]]
    assert done.id in [each["id"] for each in answer(staff.get(RUNS, params={"page_size": 100}))["results"]]
    assert answer(staff.get(f"{PRICING}products/{product['id']}/decisions/"))["results"]
    assert answer(staff.patch(at(made), {"is_active": False}))["is_active"] is False
    assert answer(staff.post(f"{RUNS}{done.id}/rollback/"))["status"] == "ROLLING_BACK"
    assert answer(staff.patch(f"{PRICING}products/{product['id']}/", {"is_excluded": True}))["is_excluded"] is True
    assert staff.delete(at(made)).status_code == 204


def test_anonymous_callers_have_no_access(place: Marketplace, anybody: Visitor, seller: Person) -> None:
    made = create(seller)
    for path in (POLICIES, at(made), RUNS):
        problem(anybody.get(path), 401)
    assert place.market.queries.policy(PolicyId(made["id"])) is not None
    problem(seller.get(f"{PRICING}products/{ProductId(10**9)}/"), 404)


def test_staff_set_the_minimum_hold_of_a_category() -> None:
    with marketplace() as place:
        staff, seller = place.person(is_staff=True), place.person()
        path = "/products/api/v1/categories/2/"
        assert answer(staff.patch(path, {"min_hold_days": 1.5}))["min_hold_days"] == 1.5
        listed = answer(seller.get("/products/api/v1/categories/"))["results"]
        assert [each["min_hold_days"] for each in listed[:3]] == [0, 1.5, 0]
        assert problem(seller.patch(path, {"min_hold_days": 0}), 403)["code"] == "forbidden"
        problem(staff.patch(path, {"min_hold_days": 366}), 400, "min_hold_days")
        problem(staff.patch("/products/api/v1/categories/999/", {"min_hold_days": 1}), 404)


def test_a_run_above_the_limits_is_approved_or_declined_by_a_second_person() -> None:
    with marketplace() as place:
        staff, other, seller = place.person(is_staff=True), place.person(is_staff=True), place.person()
        policies = []
        for person in (staff, seller):
            wares(person)
            policies.append(create(person, guardrails=EAGER))
        place.clock.advance(minutes=1)
        limits = ApprovalLimits(mean_basis_points=1)
        repricing = Repricing(place.market.store, place.clock, approval=limits)
        mine, hers = (repricing.run(PolicyId(policy["id"])).id for policy in policies)

        waiting = answer(other.get(f"{RUNS}?status=AWAITING_APPROVAL"))["results"]
        assert [each["id"] for each in waiting] == [hers, mine]
        assert all(each["approval_until"] and each["reviewed_by"] is None for each in waiting)
        assert [each["id"] for each in answer(seller.get(f"{RUNS}?status=AWAITING_APPROVAL"))["results"]] == [hers]
        problem(other.get(f"{RUNS}?status=SLEEPING"), 400, "status")

        problem(seller.post(f"{RUNS}{hers}/approve/"), 403)
        refused = problem(staff.post(f"{RUNS}{mine}/approve/"), 403)
        assert "another member of staff" in refused["detail"]
        approved = answer(other.post(f"{RUNS}{mine}/approve/"))
        assert (approved["status"], approved["reviewed_by"]) == ("WRITING", other.id)
        problem(other.post(f"{RUNS}{hers}/decline/", {"reason": ""}), 400, "reason")
        declined = answer(staff.post(f"{RUNS}{hers}/decline/", {"reason": "Wrong costs."}))
        assert "Wrong costs" in declined["note"]
        assert problem(other.post(f"{RUNS}{hers}/approve/"), 409)["code"] == "run_not_awaiting_approval"
        done = [repricing.finish(RunId(run)) for run in (mine, hers)]
        assert [(each.status.value, each.written) for each in done] == [("DONE", 1), ("DECLINED", 0)]
        assert answer(seller.get(f"{POLICIES}{policies[1]['id']}/"))["edited_by"] == seller.id
