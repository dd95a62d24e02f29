"""Each write of the pages works without scripts: the form that a page offers is filled in, sent as it is, and has its
effect. A write that is not listed here fails the tests.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from unittest.mock import patch

import pytest
from attrs import frozen
from httpx2 import Response

from adapters.web.app import all_pages
from adapters.web.framework.demo import DemoMarket
from adapters.web.framework.page import Features
from scalecommerce_core.domain.identifiers import PolicyId
from scalecommerce_core.domain.order import DECIDE_ATTEMPTS, Order, OrderStatus
from scalecommerce_core.ports import Transaction
from scalecommerce_core.pricing.runs import ApprovalLimits, RunStatus
from scalecommerce_core.services.ordering import Ordering
from scalecommerce_core.services.repricing import Repricing
from scalecommerce_core.testing.fakes import CountingOneTimePasswords
from tests.unit.support.browser import Browser
from tests.unit.support.http_marketplace import PASSWORD, Marketplace, Person, answer, marketplace
from tests.unit.support.plain_forms import send_form
from tests.unit.support.tampering import TamperedStore, with_repository

DEMO_BUYER: Final = "demo-buyer@example.com"
NEW_PASSWORD: Final = "nine small teapots"
EAGER: Final = {
    "least_views": 0, "least_history_days": 0, "breaker_share": 1, "breaker_mean": 1, "dead_band": 0,
    "cooldown_days": 0,
}  # fmt: skip


def text_of(html: str) -> str:
    return re.sub(r"(\s*<[^>]+>\s*)+", " ", html)[:2_000]


@frozen
class Reader:
    """A person with a browser without scripts, in a market in memory."""

    site: Marketplace
    person: Person
    browser: Browser

    @classmethod
    def of(cls, site: Marketplace, *, is_staff: bool = False) -> "Reader":
        person, browser = site.person(is_staff=is_staff), Browser(site.client)
        browser.log_in(person.email, PASSWORD)
        return cls(site, person, browser)

    def fill(
        self,
        page: str | Response,
        action: str,
        values: Mapping[str, str | Sequence[str]] | None = None,
        press: tuple[str, str] | None = None,
        file: tuple[str, bytes] | None = None,
    ) -> str:
        """Load a page, fill in its form that is sent to `action`, send it, and return the page that follows."""
        shown = self.browser.get(page) if isinstance(page, str) else page
        followed = send_form(self.browser, shown, action, values, press=press, file=file)
        assert followed.status_code < 400, text_of(followed.text)
        return followed.text

    # --- things to act on

    def product(self, **fields: Any) -> int:
        return int(self.person.list(**{"stock": 9, "cost": "9.00"} | fields)["id"])

    def order(self) -> Any:
        """A pending order of this reader."""
        return self.site.reserve(self.person, (self.site.person().list(stock=9)["id"], 2))

    def sale(self, product: int) -> Any:
        return self.site.sell(self.site.person(), (product, 2))

    def policy(self, **fields: Any) -> int:
        document = {"name": "Learn", "guardrails": EAGER, "is_active": False} | fields
        return int(answer(self.person.post("/pricing/api/v1/policies/", document), 201)["id"])

    def run(self, status: RunStatus) -> int:
        """A run of a policy of this reader in a state."""
        self.product(price="20.00", cost="19.00")
        policy = PolicyId(self.policy(is_active=True, parameters={"vary": False, "caution": 0}))
        self.site.clock.advance(minutes=1)
        limits = ApprovalLimits(mean_basis_points=1 if status is RunStatus.AWAITING_APPROVAL else 0)
        repricing = Repricing(self.site.market.store, self.site.clock, approval=limits)
        run = repricing.begin(policy) if status is RunStatus.DECIDING else repricing.run(policy)
        assert run.status is status
        return run.id

    def experiment(self, policy: int) -> int:
        body = {"policy": policy, "kind": "hold_out", "share": 0.5, "weeks": 8}
        made = self.person.post("/pricing/api/v1/experiments/", body)
        return int(answer(made, 201)["id"])

    def promotion(self, product: int) -> int:
        body = {"name": "Sale", "ends_at": "2026-02-01T00:00:00Z", "percent": 20, "products": [{"product": product}]}
        return int(answer(self.person.post("/pricing/api/v1/promotions/", body), 201)["id"])

    def webhook(self, *, is_active: bool = True) -> int:
        body = {"url": "https://example.com/hooks", "topics": ["order.paid"]}
        made = answer(self.person.post("/webhooks/api/v1/", body), 201)
        self.site.market.webhooks.deliver()
        if not is_active:
            answer(self.person.patch(f"/webhooks/api/v1/{made['id']}/", {"is_active": False}))
        return int(made["id"])

    def delivery(self, endpoint: int) -> int:
        return int(answer(self.person.get(f"/webhooks/api/v1/{endpoint}/deliveries/"))["results"][0]["id"])

    def key(self) -> int:
        body = {"name": "Warehouse", "scopes": ["orders:read"], "password": PASSWORD}
        return int(answer(self.person.post("/users/api/v1/me/api-keys/", body), 201)["id"])

    def parked_order(self) -> int:
        """An order whose decision has failed until it was parked."""
        order = int(self.person.place((self.site.person().list(stock=9)["id"], 1))["id"])

        def tamper(tx: Transaction) -> Transaction:
            def save(orders: Sequence[Order]) -> None:
                if any(each.status is not OrderStatus.CREATED for each in orders):
                    raise ArithmeticError("bad data")
                tx.orders.save(orders)

            return with_repository(tx, "orders", save=save)

        failing = Ordering(TamperedStore(self.site.market.store, tamper=tamper), self.site.clock)
        for attempt in range(DECIDE_ATTEMPTS):
            failing.decide()
            self.site.clock.advance(seconds=2**attempt)
        return order


@frozen
class Case:
    """A write with its reader: `me`, who has an account, or is staff in `/admin/`; and things of others."""

    site: Marketplace
    me: Reader

    def seller(self) -> Reader:
        return Reader.of(self.site)

    def stranger(self) -> Reader:
        """A reader without an account."""
        return Reader(self.site, self.me.person, Browser(self.site.client))


WRITES: Final[dict[str, Callable[[Case], str]]] = {}
"""Each write by its path: a function that fills in its form and returns the page that follows."""
SHOWN: Final[dict[str, str]] = {}
"""What the page that follows each write says."""


def writes(path: str, shown: str) -> Callable[[Callable[[Case], str]], Callable[[Case], str]]:
    def register(send: Callable[[Case], str]) -> Callable[[Case], str]:
        assert path not in WRITES
        WRITES[path], SHOWN[path] = send, shown
        return send

    return register


@pytest.fixture(scope="module")
def site() -> Iterator[Marketplace]:
    demo = DemoMarket({"buyer": DEMO_BUYER}, PASSWORD, [])
    with marketplace(features=Features(shop=True, demo=demo, version="1.0")) as made:
        made.account(DEMO_BUYER)
        yield made


ALL: Final = sorted(page.path for page in all_pages() if page.method == "POST")


@pytest.mark.parametrize("path", ALL)
def test_each_write_works_by_the_form_that_its_page_offers(site: Marketplace, path: str) -> None:
    assert path in WRITES, f"say in {__name__} how the form of {path} is filled in"
    is_staff = path.startswith("/admin/") or path.endswith(("/approve/", "/decline/"))
    followed = WRITES[path](Case(site, Reader.of(site, is_staff=is_staff)))
    assert SHOWN[path] in followed, text_of(followed)


def test_only_writes_of_pages_are_listed() -> None:
    assert set(WRITES) <= set(ALL)


# --- accounts


@writes("/log-in/", "Log out")
def _(case: Case) -> str:
    return case.stranger().fill("/log-in/", "/log-in/", {"email": case.me.person.email, "password": PASSWORD})


@writes("/log-in/demo/", "Log out")
def _(case: Case) -> str:
    # The log-ins of a demo are offered on this machine only; the client of the tests has no address.
    with patch("adapters.web.pages.start.is_on_this_machine", return_value=True):
        return case.stranger().fill("/", "/log-in/demo/", press=("role", "buyer"))


@writes("/log-out/", "Log in")
def _(case: Case) -> str:
    return case.me.fill("/account/", "/log-out/")


@writes("/sign-up/", "Log out")
def _(case: Case) -> str:
    return case.stranger().fill("/sign-up/", "/sign-up/", {"email": "new@example.com", "password": NEW_PASSWORD})


@writes("/preferences/", 'lang="ru"')
def _(case: Case) -> str:
    return case.stranger().fill("/log-in/", "/preferences/", {"language": "ru", "theme": "dark"})


@writes("/forgot-password/", "on its way")
def _(case: Case) -> str:
    return case.stranger().fill("/forgot-password/", "/forgot-password/", {"email": case.me.person.email})


def token_of_email(case: Case) -> str:
    """The token in the last e-mail."""
    emails = case.site.market.emails
    while emails.deliver().total:
        pass
    found = re.search(r"Your token: (\S+)", emails._sender.sent[-1].text)  # type: ignore[attr-defined]
    assert found is not None
    return found[1]


@writes("/reset-password/", "Log in")
def _(case: Case) -> str:
    case.stranger().fill("/forgot-password/", "/forgot-password/", {"email": case.me.person.email})
    values = {"token": token_of_email(case), "new_password": NEW_PASSWORD}
    return case.stranger().fill("/reset-password/", "/reset-password/", values)


@writes("/verify-email/", "confirmed")
def _(case: Case) -> str:
    return case.stranger().fill("/verify-email/", "/verify-email/", {"token": token_of_email(case)})


@writes("/account/", "The profile is saved.")
def _(case: Case) -> str:
    return case.me.fill("/account/", "/account/", {"display_name": "Mira"})


@writes("/account/email/", "e-mail")
def _(case: Case) -> str:
    values = {"email": f"new-{case.me.person.email}", "password": PASSWORD}
    return case.me.fill("/account/email/", "/account/email/", values)


@writes("/account/email/verification/", "e-mail")
def _(case: Case) -> str:
    return case.me.fill("/account/email/", "/account/email/verification/")


@writes("/account/data/export/", '"orders"')
def _(case: Case) -> str:
    return case.me.fill("/account/data/", "/account/data/export/")


@writes("/account/data/deletion/", "The account is deleted.")
def _(case: Case) -> str:
    return case.me.fill("/account/data/", "/account/data/deletion/", {"password": PASSWORD})


@writes("/account/password/", "The password is changed")
def _(case: Case) -> str:
    values = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
    return case.me.fill("/account/password/", "/account/password/", values)


def other_session(case: Case) -> str:
    """The action that ends a session of another browser of the reader."""
    Browser(case.site.client).log_in(case.me.person.email, PASSWORD)
    found = re.search(r'action="(/account/sessions/\d+/end/)"', case.me.browser.get("/account/sessions/").text)
    assert found is not None
    return found[1]


@writes("/account/sessions/{id:int}/end/", "The session has ended.")
def _(case: Case) -> str:
    return case.me.fill("/account/sessions/", other_session(case))


@writes("/account/sessions/end-others/", "All other sessions have ended.")
def _(case: Case) -> str:
    other_session(case)
    return case.me.fill("/account/sessions/", "/account/sessions/end-others/")


def one_time_password(case: Case) -> str:
    return CountingOneTimePasswords().code(case.site.clock.now().timestamp())


def begin_second_factor(case: Case) -> Response:
    shown = case.me.browser.get("/account/second-factor/")
    return send_form(case.me.browser, shown, "/account/second-factor/", {"password": PASSWORD})


@writes("/account/second-factor/", "Switch the second factor on")
def _(case: Case) -> str:
    return begin_second_factor(case).text


@writes("/account/second-factor/confirm/", "Keep these codes in a safe place")
def _(case: Case) -> str:
    return case.me.fill(begin_second_factor(case), "/account/second-factor/confirm/", {"code": one_time_password(case)})


@writes("/account/second-factor/change/", "The second factor is off.")
def _(case: Case) -> str:
    case.me.fill(begin_second_factor(case), "/account/second-factor/confirm/", {"code": one_time_password(case)})
    case.site.clock.advance(seconds=30)
    values = {"password": PASSWORD, "code": one_time_password(case)}
    page = "/account/second-factor/"
    return case.me.fill(page, "/account/second-factor/change/", values, press=("action", "disable"))


@writes("/account/api-keys/", "sk_")
def _(case: Case) -> str:
    values = {"name": "Warehouse", "scopes": ["orders:read"], "password": PASSWORD, "days": "30"}
    return case.me.fill("/account/api-keys/", "/account/api-keys/", values)


@writes("/account/api-keys/{id:int}/rotate/", "sk_")
def _(case: Case) -> str:
    path = f"/account/api-keys/{case.me.key()}/rotate/"
    return case.me.fill(path, path, {"password": PASSWORD})


@writes("/account/api-keys/{id:int}/revoke/", "The key is revoked.")
def _(case: Case) -> str:
    return case.me.fill("/account/api-keys/", f"/account/api-keys/{case.me.key()}/revoke/")


# --- sellers


@writes("/seller/products/new/", "The product is listed.")
def _(case: Case) -> str:
    values = {"name": "Pot", "category_id": "1", "price": "10.00", "stock": "5"}
    return case.me.fill("/seller/products/new/", "/seller/products/new/", values)


@writes("/seller/products/{id:int}/edit/", "The changes are saved.")
def _(case: Case) -> str:
    path = f"/seller/products/{case.me.product()}/edit/"
    return case.me.fill(path, path, {"name": "Tea pot with a lid"})


@writes("/seller/products/{id:int}/pause/", "is paused")
def _(case: Case) -> str:
    root = f"/seller/products/{case.me.product()}/"
    return case.me.fill(root, f"{root}pause/")


@writes("/seller/products/{id:int}/resume/", "for sale again")
def _(case: Case) -> str:
    root = f"/seller/products/{case.me.product(is_active=False)}/"
    return case.me.fill(root, f"{root}resume/")


@writes("/seller/products/{id:int}/stock/", "Available now: 12.")
def _(case: Case) -> str:
    root = f"/seller/products/{case.me.product()}/"
    return case.me.fill(root, f"{root}stock/", {"delta": "3"})


@writes("/seller/products/{id:int}/withdraw/", "withdrawn")
def _(case: Case) -> str:
    path = f"/seller/products/{case.me.product()}/withdraw/"
    return case.me.fill(path, path)


@writes("/seller/products/import/", "The file is imported.")
def _(case: Case) -> str:
    path, content = "/seller/products/import/", b"sku,name,category,price\nA1,Pot,1,10.00\n"
    preview = send_form(case.me.browser, case.me.browser.get(path), path, file=("file", content))
    assert "Nothing is written yet." in preview.text
    return case.me.fill(preview, path)


@writes("/seller/products/{id:int}/price/", "$12.50")
def _(case: Case) -> str:
    root = f"/seller/products/{case.me.product()}/"
    return case.me.fill(root, f"{root}price/", {"price": "12.50"})


@writes("/seller/products/{id:int}/policy/", "notice success")
def _(case: Case) -> str:
    root = f"/seller/products/{case.me.product()}/"
    return case.me.fill(root, f"{root}policy/", {"policy": str(case.me.policy())})


@writes("/seller/products/{id:int}/exclude/", "No policy changes the price of this product.")
def _(case: Case) -> str:
    root = f"/seller/products/{case.me.product()}/"
    return case.me.fill(root, f"{root}exclude/")


@writes("/seller/products/{id:int}/include/", "notice success")
def _(case: Case) -> str:
    root = f"/seller/products/{case.me.product()}/"
    case.me.fill(root, f"{root}exclude/")
    return case.me.fill(root, f"{root}include/")


@writes("/seller/policies/new/", "What the next run would do")
def _(case: Case) -> str:
    page = "/seller/policies/new/?kind=elasticity_learning"
    return case.me.fill(page, "/seller/policies/new/", {"name": "Learn"})


@writes("/seller/policies/{id:int}/edit/", "Learn more")
def _(case: Case) -> str:
    path = f"/seller/policies/{case.me.policy()}/edit/"
    return case.me.fill(path, path, {"name": "Learn more"})


@writes("/seller/policies/{id:int}/activate/", "The policy is active.")
def _(case: Case) -> str:
    root = f"/seller/policies/{case.me.policy()}/"
    shadowed = case.me.fill(root, f"{root}activate/", press=("shadow", "true"))
    assert "runs in shadow" in shadowed
    return case.me.fill(root, f"{root}activate/")


@writes("/seller/policies/{id:int}/deactivate/", "notice success")
def _(case: Case) -> str:
    root = f"/seller/policies/{case.me.policy(is_active=True)}/"
    return case.me.fill(root, f"{root}deactivate/")


@writes("/seller/policies/{id:int}/delete/", "notice success")
def _(case: Case) -> str:
    root = f"/seller/policies/{case.me.policy()}/"
    return case.me.fill(root, f"{root}delete/")


@writes("/seller/policies/stop/", "All your policies are stopped.")
def _(case: Case) -> str:
    case.me.policy(is_active=True)
    return case.me.fill("/seller/policies/stop/", "/seller/policies/stop/")


@writes("/seller/policies/{id:int}/experiments/", "End the experiment")
def _(case: Case) -> str:
    for _each in range(20):
        case.me.product()
    root = f"/seller/policies/{case.me.policy(is_active=True)}/"
    return case.me.fill(root, f"{root}experiments/", {"share": "0.5", "weeks": "8"})


@writes("/seller/policies/{id:int}/experiments/{experiment:int}/end/", "notice success")
def _(case: Case) -> str:
    for _each in range(20):
        case.me.product()
    policy = case.me.policy(is_active=True)
    root = f"/seller/policies/{policy}/"
    return case.me.fill(root, f"{root}experiments/{case.me.experiment(policy)}/end/")


@writes("/seller/runs/{id:int}/roll-back/", "The run is being rolled back")
def _(case: Case) -> str:
    path = f"/seller/runs/{case.me.run(RunStatus.DONE)}/roll-back/"
    return case.me.fill(path, path)


@writes("/seller/runs/{id:int}/cancel/", "notice success")
def _(case: Case) -> str:
    root = f"/seller/runs/{case.me.run(RunStatus.DECIDING)}/"
    return case.me.fill(root, f"{root}cancel/")


@writes("/seller/runs/{id:int}/approve/", "notice success")
def _(case: Case) -> str:
    root = f"/seller/runs/{case.seller().run(RunStatus.AWAITING_APPROVAL)}/"
    return case.me.fill(root, f"{root}approve/")


@writes("/seller/runs/{id:int}/decline/", "notice success")
def _(case: Case) -> str:
    root = f"/seller/runs/{case.seller().run(RunStatus.AWAITING_APPROVAL)}/"
    return case.me.fill(root, f"{root}decline/", {"reason": "Too many."})


@writes("/seller/promotions/new/", "notice success")
def _(case: Case) -> str:
    values = {"name": "Sale", "ends_at": "2026-01-20T00:00", "percent": "20", "products": str(case.me.product())}
    return case.me.fill("/seller/promotions/new/", "/seller/promotions/new/", values)


@writes("/seller/promotions/{id:int}/end/", "notice success")
def _(case: Case) -> str:
    root = f"/seller/promotions/{case.me.promotion(case.me.product())}/"
    return case.me.fill(root, f"{root}end/")


@writes("/seller/sales/refund/", "notice success")
def _(case: Case) -> str:
    case.me.sale(case.me.product())
    return case.me.fill("/seller/sales/", "/seller/sales/refund/")


@writes("/seller/webhooks/", 'class="secret"')
def _(case: Case) -> str:
    values = {"url": "https://example.com/hooks", "topics": ["order.paid"]}
    return case.me.fill("/seller/webhooks/", "/seller/webhooks/", values)


@writes("/seller/webhooks/{id:int}/rotate/", 'class="secret"')
def _(case: Case) -> str:
    root = f"/seller/webhooks/{case.me.webhook()}/"
    return case.me.fill(root, f"{root}rotate/")


@writes("/seller/webhooks/{id:int}/test/", "notice success")
def _(case: Case) -> str:
    root = f"/seller/webhooks/{case.me.webhook()}/"
    return case.me.fill(root, f"{root}test/")


@writes("/seller/webhooks/{id:int}/enable/", "notice success")
def _(case: Case) -> str:
    root = f"/seller/webhooks/{case.me.webhook(is_active=False)}/"
    return case.me.fill(root, f"{root}enable/")


@writes("/seller/webhooks/{id:int}/disable/", "notice success")
def _(case: Case) -> str:
    root = f"/seller/webhooks/{case.me.webhook()}/"
    return case.me.fill(root, f"{root}disable/")


@writes("/seller/webhooks/{id:int}/delete/", "notice success")
def _(case: Case) -> str:
    root = f"/seller/webhooks/{case.me.webhook()}/"
    return case.me.fill(root, f"{root}delete/")


@writes("/seller/webhooks/{id:int}/deliveries/{delivery:int}/resend/", "notice success")
def _(case: Case) -> str:
    endpoint = case.me.webhook()
    root = f"/seller/webhooks/{endpoint}/"
    return case.me.fill(root, f"{root}deliveries/{case.me.delivery(endpoint)}/resend/")


# --- the shop


def put_into_basket(case: Case) -> str:
    page = f"/shop/products/{case.seller().product()}/"
    return case.me.fill(page, "/shop/basket/add/", {"quantity": "2"})


@writes("/shop/basket/add/", "Tea pot")
def _(case: Case) -> str:
    return put_into_basket(case)


@writes("/shop/basket/change/", "The basket is empty.")
def _(case: Case) -> str:
    put_into_basket(case)
    product = re.search(r'name="remove" value="(\d+)"', case.me.browser.get("/shop/basket/").text)
    assert product is not None
    return case.me.fill("/shop/basket/", "/shop/basket/change/", press=("remove", product[1]))


@writes("/shop/orders/", "Cancel the order")
def _(case: Case) -> str:
    put_into_basket(case)
    return case.me.fill("/shop/basket/", "/shop/orders/")


@writes("/shop/orders/{id:int}/pay/", "Thank you for your order!")
def _(case: Case) -> str:
    root = f"/shop/orders/{case.me.order()['id']}/"
    return case.me.fill(root, f"{root}pay/")


@writes("/shop/orders/{id:int}/cancel/", "notice success")
def _(case: Case) -> str:
    root = f"/shop/orders/{case.me.order()['id']}/"
    return case.me.fill(root, f"{root}cancel/")


# --- staff


@writes("/admin/solve/", "The order is being decided again.")
def _(case: Case) -> str:
    order = case.me.parked_order()
    return case.me.fill("/admin/", "/admin/solve/", press=("id", str(order)))


@writes("/admin/bulk/", "1 of 1 done")
def _(case: Case) -> str:
    order = case.me.parked_order()
    return case.me.fill(f"/admin/bulk/?solution=requeue&id={order}", "/admin/bulk/")


@writes("/admin/pricing-stop/", "All pricing is stopped")
def _(case: Case) -> str:
    shown = case.me.fill("/admin/pricing-stop/", "/admin/pricing-stop/")
    assert "Pricing is resumed." in case.me.fill("/admin/", "/admin/solve/", press=("solution", "resume_pricing"))
    return shown


@writes("/admin/orders/{id:int}/cancel/", "The order is cancelled")
def _(case: Case) -> str:
    root = f"/admin/orders/{case.seller().order()['id']}/"
    return case.me.fill(root, f"{root}cancel/", {"reason": "Asked for it."})


@writes("/admin/orders/{id:int}/refund/", "The units are refunded")
def _(case: Case) -> str:
    seller = case.seller()
    product = seller.product()
    root = f"/admin/orders/{seller.sale(product)['id']}/"
    return case.me.fill(root, f"{root}refund/", {f"quantity-{product}": "1"})


@writes("/admin/products/{id:int}/", "The product is changed.")
def _(case: Case) -> str:
    root = f"/admin/products/{case.seller().product()}/"
    return case.me.fill(root, root, {"name": "Big pot"})


@writes("/admin/products/{id:int}/stock/", "The stock is changed.")
def _(case: Case) -> str:
    root = f"/admin/products/{case.seller().product()}/"
    return case.me.fill(root, f"{root}stock/", {"delta": "-2"})


@writes("/admin/categories/", "Lamps and shades")
def _(case: Case) -> str:
    return case.me.fill("/admin/categories/", "/admin/categories/", {"name": "Lamps and shades"})


@writes("/admin/categories/{id:int}/", 'value="1.5"')
def _(case: Case) -> str:
    return case.me.fill("/admin/categories/", "/admin/categories/3/", {"min_hold_days": "1.5"})


@writes("/admin/categories/{id:int}/rename/", "Lamps and lights")
def _(case: Case) -> str:
    return case.me.fill("/admin/categories/", "/admin/categories/3/rename/", {"name": "Lamps and lights"})


def act_on_account(case: Case, action: str, values: Mapping[str, str], person: Person | None = None) -> str:
    root = f"/admin/users/{(person or case.site.person()).id}/"
    return case.me.fill(root, f"{root}{action}/", values)


@writes("/admin/users/{id:int}/deactivate/", "The account is deactivated")
def _(case: Case) -> str:
    return act_on_account(case, "deactivate", {"reason": "Stolen telephone."})


@writes("/admin/users/{id:int}/reactivate/", "The account is active again.")
def _(case: Case) -> str:
    person = case.site.person()
    act_on_account(case, "deactivate", {"reason": "Stolen telephone."}, person)
    return act_on_account(case, "reactivate", {"reason": "Found."}, person)


@writes("/admin/users/{id:int}/revoke-sessions/", "notice success")
def _(case: Case) -> str:
    return act_on_account(case, "revoke-sessions", {"reason": "Lost."})


@writes("/admin/users/{id:int}/revoke-session/", "notice success")
def _(case: Case) -> str:
    root = f"/admin/users/{case.site.person().id}/"
    session = re.search(r'name="session" value="(\d+)"', case.me.browser.get(root).text)
    assert session is not None
    return case.me.fill(root, f"{root}revoke-session/", {"reason": "Lost."}, press=("session", session[1]))


@writes("/admin/users/{id:int}/dismiss-staff/", "Dismissed from staff")
def _(case: Case) -> str:
    return act_on_account(case, "dismiss-staff", {"reason": "Left."}, case.site.person(is_staff=True))


@writes("/admin/users/{id:int}/appoint-staff/", "Appointed as staff")
def _(case: Case) -> str:
    path = f"/admin/users/{case.site.person().id}/appoint-staff/"
    return case.me.fill(path, path, {"reason": "New.", "password": "three words there"})


@writes("/admin/policies/{id:int}/switch/", "Switch off")
def _(case: Case) -> str:
    root = f"/admin/policies/{case.seller().policy()}/"
    return case.me.fill(root, f"{root}switch/", press=("is_active", "true"))


@writes("/admin/runs/{id:int}/approve/", "notice success")
def _(case: Case) -> str:
    root = f"/admin/runs/{case.seller().run(RunStatus.AWAITING_APPROVAL)}/"
    return case.me.fill(root, f"{root}approve/")


@writes("/admin/runs/{id:int}/decline/", "The run is declined")
def _(case: Case) -> str:
    root = f"/admin/runs/{case.seller().run(RunStatus.AWAITING_APPROVAL)}/"
    return case.me.fill(root, f"{root}decline/", {"reason": "Too many."})


@writes("/admin/runs/{id:int}/rollback/", "The run is being rolled back.")
def _(case: Case) -> str:
    root = f"/admin/runs/{case.seller().run(RunStatus.DONE)}/"
    return case.me.fill(root, f"{root}rollback/")


@writes("/admin/runs/{id:int}/cancel/", "The run is cancelled.")
def _(case: Case) -> str:
    root = f"/admin/runs/{case.seller().run(RunStatus.DECIDING)}/"
    return case.me.fill(root, f"{root}cancel/")


@writes("/admin/webhooks/{id:int}/switch/", "notice success")
def _(case: Case) -> str:
    root = f"/admin/webhooks/{case.seller().webhook()}/"
    return case.me.fill(root, f"{root}switch/", press=("is_active", "false"))


@writes("/admin/webhooks/{id:int}/test/", "notice success")
def _(case: Case) -> str:
    root = f"/admin/webhooks/{case.seller().webhook()}/"
    return case.me.fill(root, f"{root}test/")


@writes("/admin/webhooks/{id:int}/redeliver/", "notice success")
def _(case: Case) -> str:
    root = f"/admin/webhooks/{case.seller().webhook()}/"
    return case.me.fill(root, f"{root}redeliver/")
