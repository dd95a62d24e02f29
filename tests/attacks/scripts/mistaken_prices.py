"""A mistaken price that stood for a moment, or that the seller withdraws."""

import time
from typing import Final

from tests.attacks.attack import Attack, AttackFigures, AttackReport
from tests.attacks.target import ATTACKER, HttpSession, Target

ORDERS: Final = "/orders/api/v1/"
PRODUCTS: Final = "/products/api/v1/"
SELLER: Final = "127.0.15.1"
STOOD_FOR: Final = 0.09
STOOD_LONG: Final = 5.5
"""Long enough for a price promise."""
MISTAKE, PRICE = "0.01", "10.00"
UNITS: Final = 500


def _create_product(target: Target, token: str) -> str:
    body = {"name": "Mispriced tea pot", "category_id": 1, "price": PRICE, "stock": 10 * UNITS}
    reply = target.request("POST", PRODUCTS, body, token=token, address=SELLER)
    assert reply.status == 201, reply
    return f"{PRODUCTS}{reply.body['id']}/"


def _order(session: HttpSession, figures: AttackFigures, token: str, product: int, quantity: int) -> float:
    """Order at the mistaken price; return the units that were accepted at it."""
    body = {"order_item": [{"product": product, "quantity": quantity, "price": MISTAKE}]}
    reply = session.request("POST", ORDERS, body, token=token)
    figures.requests += 1
    figures.answers[str(reply.status)] += 1
    if reply.status not in {201, 202}:
        return 0.0
    return float(sum(line["quantity"] for line in reply.body["order_items"] if line["price"] == MISTAKE))


class _MistakenPrice(Attack):
    """An attack with a price that is in force for a while; tests without a server replace `wait`."""

    def wait(self, seconds: float) -> None:
        """Wait until the mistaken price has been in force for `seconds`."""
        time.sleep(seconds)


class MomentaryPrice(_MistakenPrice):
    """A seller types 0.01 and corrects it after 90 ms; an attacker then orders 500 units, and single units, at it."""

    name = "momentary_price"

    def run(self, target: Target) -> AttackFigures:
        figures = AttackFigures()
        seller, attacker = (target.log_in(account, SELLER) for account in target.buyers[:2])
        product = _create_product(target, seller)
        number = int(product.rstrip("/").rpartition("/")[2])
        with target.session(SELLER) as session:
            session.request("PATCH", product, {"price": MISTAKE}, token=seller)
            self.wait(STOOD_FOR)
            session.request("PATCH", product, {"price": PRICE}, token=seller)
        with target.session(ATTACKER) as session:
            units = sum(_order(session, figures, attacker, number, quantity) for quantity in (UNITS, 1, 1, 1))
        figures.notes["units at 0.01"] = units
        return figures

    def check(self, report: AttackReport) -> list[str]:
        units = report.figures.notes["units at 0.01"]
        return [f"{units} units were accepted at a price that stood for 90 ms"] if units else []


class WithdrawnPrice(_MistakenPrice):
    """A mistaken price of 0.01 is corrected and withdrawn after some seconds; an attacker then orders at it."""

    name = "withdrawn_price"

    def run(self, target: Target) -> AttackFigures:
        figures = AttackFigures()
        seller, attacker = (target.log_in(account, SELLER) for account in target.buyers[:2])
        product = _create_product(target, seller)
        number = int(product.rstrip("/").rpartition("/")[2])
        with target.session(SELLER) as session:
            session.request("PATCH", product, {"price": MISTAKE}, token=seller)
            self.wait(STOOD_LONG)
            session.request("PATCH", product, {"price": PRICE}, token=seller)
            with target.session(ATTACKER) as attack:
                before = [_order(attack, figures, attacker, number, quantity) for quantity in (UNITS, 6, 4, 4)]
                withdrawal = {"price": MISTAKE, "reason": "The decimal point was in the wrong place."}
                session.request("POST", f"{product}price-withdrawals/", withdrawal, token=seller)
                after = [_order(attack, figures, attacker, number, quantity) for quantity in (UNITS, 1)]
        figures.notes["units at 0.01 before the withdrawal"] = sum(before)
        figures.notes["units at 0.01 after the withdrawal"] = sum(after)
        return figures

    def check(self, report: AttackReport) -> list[str]:
        notes = report.figures.notes
        before, after = (float(notes[f"units at 0.01 {when} the withdrawal"]) for when in ("before", "after"))
        return [
            *([f"{before} units were accepted at a former price"] if before > 10 else []),
            *([f"{after} units were accepted at a withdrawn price"] if after else []),
        ]


ATTACKS = (MomentaryPrice(), WithdrawnPrice())
