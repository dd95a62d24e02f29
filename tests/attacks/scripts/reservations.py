"""Reservations without payment: orders that keep a product from all other buyers."""

from typing import Any, Final

from tests.attacks.attack import Attack, AttackFigures, AttackReport
from tests.attacks.target import ATTACKER, HttpSession, Target

ORDERS: Final = "/orders/api/v1/"
PRODUCTS: Final = "/products/api/v1/"
STOCK: Final = 1_000
OPEN_ORDERS: Final = 300
HONEST: Final = "127.0.7.1"
WAIT: Final = "wait=10"


def _create_product(target: Target, token: str, price: str = "10.00") -> int:
    body = {"name": "Attacked tea pot", "category_id": 1, "price": price, "stock": STOCK}
    reply = target.request("POST", PRODUCTS, body, token=token, address=HONEST)
    assert reply.status == 201, reply
    return int(reply.body["id"])


def _order(session: HttpSession, figures: AttackFigures, token: str, product: int, quantity: int, **more: Any) -> Any:
    """Order, wait for the decision, and return its status; the attacker's orders are counted."""
    body = {"order_item": [{"product": product, "quantity": quantity, **more}]}
    reply = session.request("POST", ORDERS, body, token=token, Prefer=WAIT)
    found = reply.body["status"] if reply.status in {201, 202} else reply.body["code"]
    figures.requests += 1
    figures.answers[f"{reply.status} {found}"] += 1
    return found


class HeldStock(Attack):
    """One order for all 1,000 units of a product, then for half of what is left, and so on; none is paid."""

    name = "held_stock"

    def run(self, target: Target) -> AttackFigures:
        figures = AttackFigures()
        seller, attacker, buyer = (target.log_in(account, HONEST) for account in target.buyers[:3])
        product = _create_product(target, seller)
        with target.session(ATTACKER) as session:
            quantity = STOCK
            while quantity:
                _order(session, figures, attacker, product, quantity)
                quantity //= 2
        left = target.request("GET", f"{PRODUCTS}{product}/", address=HONEST).body["stock"]
        figures.notes["units held of 1,000"] = float(STOCK - left)
        with target.session(HONEST) as session:
            figures.notes["honest order of 20"] = str(_order(session, AttackFigures(), buyer, product, 20))
        return figures

    def check(self, report: AttackReport) -> list[str]:
        notes = report.figures.notes
        return [
            *([f"one account holds {notes['units held of 1,000']} of {STOCK} units"]
              if float(notes["units held of 1,000"]) > STOCK / 2 else []),
            *([f"an honest order was {notes['honest order of 20']}"]
              if notes["honest order of 20"] != "PENDING" else []),
        ]  # fmt: skip


class OpenOrders(Attack):
    """300 orders of one account that are never paid."""

    name = "open_orders"

    def run(self, target: Target) -> AttackFigures:
        figures = AttackFigures()
        attacker = target.log_in(target.buyers[1], HONEST)
        with target.session(ATTACKER) as session:
            for _ in range(OPEN_ORDERS):
                body = {"order_item": [{"product": target.plentiful[0], "quantity": 1}]}
                reply = session.request("POST", ORDERS, body, token=attacker)
                figures.requests += 1
                figures.answers[str(reply.status)] += 1
        figures.notes["accepted orders"] = float(figures.answers["202"])
        return figures

    def check(self, report: AttackReport) -> list[str]:
        accepted = report.figures.notes["accepted orders"]
        # One more batch of each API process may be taken in before the others are counted.
        return [f"{accepted} of {OPEN_ORDERS} unpaid orders were accepted"] if float(accepted) > OPEN_ORDERS / 3 else []


class LimitPerBuyer(Attack):
    """One account orders a product, whose seller allows two units per buyer, again and again, and pays."""

    name = "limit_per_buyer"

    def run(self, target: Target) -> AttackFigures:
        figures = AttackFigures()
        seller, attacker = (target.log_in(account, HONEST) for account in target.buyers[:2])
        product = _create_product(target, seller)
        target.request("PATCH", f"{PRODUCTS}{product}/", {"max_per_buyer": 2}, token=seller, address=HONEST)
        bought = 0
        with target.session(ATTACKER) as session:
            for _ in range(4):
                body = {"order_item": [{"product": product, "quantity": 1}]}
                reply = session.request("POST", ORDERS, body, token=attacker, Prefer=WAIT)
                paid = session.request("POST", f"{ORDERS}{reply.body['id']}/pay/", {}, token=attacker)
                bought += paid.status == 200
                figures.requests += 2
                figures.answers[str(reply.body["status"])] += 1
        figures.notes["units bought of 2 allowed"] = float(bought)
        return figures

    def check(self, report: AttackReport) -> list[str]:
        bought = report.figures.notes["units bought of 2 allowed"]
        return [] if bought == 2 else [f"{bought} units were bought, 2 are allowed"]


ATTACKS = (HeldStock(), OpenOrders(), LimitPerBuyer())
