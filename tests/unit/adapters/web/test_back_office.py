"""The back office: what needs a person, and what staff look up and change."""

import re
from collections.abc import Callable, Collection, Iterator
from html import unescape

import pytest

from adapters.web.framework.page import Features
from adapters.web.pages.admin.audit import Change, changes, target_link
from adapters.web.pages.admin.lists import end_of, start_of
from scalecommerce_core.domain.audit import OPERATOR
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.order import DECIDE_ATTEMPTS, Order, OrderStatus
from scalecommerce_core.ports import Transaction
from scalecommerce_core.services.ordering import Ordering
from tests.unit.support.browser import Browser
from tests.unit.support.http_marketplace import PASSWORD, DecideAtOnce, Marketplace, Person, answer, marketplace
from tests.unit.support.tampering import TamperedStore, with_repository


@pytest.fixture
def own() -> Iterator[Marketplace]:
    """A market of one test, whose notifier decides orders immediately."""
    with marketplace(notifier=DecideAtOnce, features=Features(version="1.0")) as made:
        yield made


@pytest.fixture
def boss(own: Marketplace) -> Browser:
    browser = Browser(own.client)
    browser.log_in(own.account(is_staff=True).email, PASSWORD)
    return browser


def park_orders(place: Marketplace) -> None:
    """Let the decision on all orders fail until they are parked."""

    def tamper(tx: Transaction) -> Transaction:
        def save(orders: Collection[Order]) -> None:
            if any(each.status is not OrderStatus.CREATED for each in orders):
                raise ArithmeticError("bad <data>")
            tx.orders.save(orders)

        return with_repository(tx, "orders", save=save)

    failing = Ordering(TamperedStore(place.market.store, tamper=tamper), place.clock)
    for attempt in range(DECIDE_ATTEMPTS):
        failing.decide()
        place.clock.advance(seconds=2**attempt)


@pytest.fixture
def parked() -> Iterator[Callable[[], tuple[Marketplace, Browser, list[int]]]]:
    """Makes a market with two parked orders, and a member of staff."""
    with marketplace(features=Features(version="1.0")) as place:

        def make() -> tuple[Marketplace, Browser, list[int]]:
            product = place.person().list(stock=9)["id"]
            orders = [place.person().place((product, 1))["id"] for _ in range(2)]
            park_orders(place)
            browser = Browser(place.client)
            browser.log_in(place.account(is_staff=True).email, PASSWORD)
            return place, browser, orders

        yield make


def test_the_front_page_says_that_nothing_needs_anybody(boss: Browser) -> None:
    page = boss.get("/admin/").text

    assert "Nothing needs a person." in page
    assert "/admin/solve/" not in page


def test_a_parked_order_is_shown_with_its_cause_and_solved_by_its_button(
    parked: Callable[[], tuple[Marketplace, Browser, list[int]]],
) -> None:
    place, browser, (first, second) = parked()
    page = browser.get("/admin/").text
    assert "Parked orders" in page
    assert "bad <data>" in unescape(page)
    assert "bad <data>" not in page
    assert f'href="/admin/orders/{first}/"' in page

    after = browser.submit("/admin/solve/", {"solution": "requeue", "id": first, "next": "/admin/"}, page="/admin/")
    place.market.ordering.decide()

    assert "The order is being decided again." in after.text
    left = browser.get("/admin/").text
    assert f'href="/admin/orders/{first}/"' not in left
    assert f'href="/admin/orders/{second}/"' in left
    timeline = browser.get(f"/admin/orders/{first}/").text
    assert "The stock was reserved" in timeline
    assert "Order requeued" in browser.get("/admin/audit/?kind=order").text


def test_many_are_solved_after_a_preview_with_a_result_for_each(
    parked: Callable[[], tuple[Marketplace, Browser, list[int]]],
) -> None:
    _, browser, orders = parked()
    preview = browser.get("/admin/bulk/?solution=requeue").text
    assert all(f'value="{each}" checked' in preview for each in orders)
    assert "Parked orders" in browser.get("/admin/").text, "a preview changes nothing"

    result = browser.submit(
        "/admin/bulk/", {"solution": "requeue", "id": [*map(str, orders), "999"]}, page="/admin/bulk/?solution=requeue"
    )

    assert "2 of 3 done, 1 refused." in result.text
    assert "Parked orders" not in browser.get("/admin/").text


def test_the_rest_of_many_follows_in_batches(boss: Browser) -> None:
    ids = [str(each) for each in range(1, 31)]

    result = boss.submit("/admin/bulk/", {"solution": "requeue", "id": ids}, page="/admin/orders/").text

    assert "0 of 30 done, 20 refused." in result
    assert result.count('<input type="hidden" name="id"') == 10
    assert "Continue" in result


def test_staff_cancel_an_order_with_a_reason_and_its_buyer_sees_it(own: Marketplace, boss: Browser) -> None:
    product, buyer = own.person().list(stock=9)["id"], own.person()
    order = buyer.place((product, 2))["id"]
    path = f"/admin/orders/{order}/"

    refused = boss.submit(f"{path}cancel/", {"reason": " "}, page=path)
    assert refused.status_code == 400
    assert 'id="reason-errors"' in refused.text
    done = boss.submit(f"{path}cancel/", {"reason": "Asked for it by phone."}, page=path).text

    assert "The order is cancelled, and its stock is free." in done
    assert "Staff cancelled the order" in done
    assert f'action="{path}cancel/"' not in done
    audit = boss.get("/admin/audit/?kind=order").text
    assert "Order cancelled by staff" in audit
    assert "Asked for it by phone." in audit
    paid = own.sell(buyer, (product, 1))["id"]
    assert boss.submit(f"/admin/orders/{paid}/cancel/", {"reason": "Too late."}, page=path).status_code == 409


def test_staff_list_products_off_sale_and_why(own: Marketplace, boss: Browser) -> None:
    seller, banned = own.person(), own.person()
    sold, paused, gone = (seller.list(name=name)["id"] for name in ("Sold pot", "Paused pot", "Gone pot"))
    banned.list(name="Banned pot")
    answer(seller.patch(f"/products/api/v1/{paused}/", {"is_active": False}))
    assert seller.send("DELETE", f"/products/api/v1/{gone}/").status_code == 204
    own.market.account_administration.deactivate(AccountId(banned.id), "Spam.", OPERATOR)

    def names(query: str) -> list[str]:
        page = boss.get(f"/admin/products/?{query}").text
        found = re.findall(r"(Sold|Paused|Gone|Banned) pot.*?badge \w+\">([^<]+)<", page, re.DOTALL)
        return [f"{name}: {state}" for name, state in found]

    assert names("") == ["Sold: On sale"]
    assert names("state=off") == ["Banned: Seller deactivated", "Gone: Withdrawn", "Paused: Paused"]
    assert names("state=all")[-1] == "Sold: On sale"
    assert names(f"state=off&seller={banned.id}") == ["Banned: Seller deactivated"]
    page = boss.get("/admin/products/?state=off").text
    assert f'href="/admin/products/{paused}/"' in page
    assert f'href="/admin/products/{gone}/"' not in page
    assert f'href="/admin/products/{sold}/"' not in page


def test_staff_read_the_stock_movements_of_a_product(own: Marketplace, boss: Browser) -> None:
    product, buyer = own.person().list(stock=9)["id"], own.person()
    order = own.sell(buyer, (product, 2))["id"]
    page = boss.get(f"/admin/products/{product}/stock/").text
    shown = re.findall(
        r'<td [^>]*>(Sale|Opening stock)</td><td class="number"[^>]*>(.*?)</td><td class="number"[^>]*>(\d+)', page
    )
    assert shown == [("Sale", "-2", "7"), ("Opening stock", "9", "9")]
    assert f'href="/admin/orders/{order}/"' in page
    assert f'href="/admin/products/{product}/stock/"' in boss.get(f"/admin/products/{product}/").text


def test_staff_list_the_webhooks_and_deliveries_of_everybody(own: Marketplace, boss: Browser) -> None:
    ann, bob = own.person(), own.person()
    first, second = (
        answer(who.post("/webhooks/api/v1/", {"url": f"https://example.com/{who.id}"}), 201)["id"] for who in (ann, bob)
    )
    answer(bob.patch(f"/webhooks/api/v1/{second}/", {"is_active": False}))

    def shown(query: str) -> list[str]:
        return re.findall(r'href="/admin/webhooks/(\d+)/"', boss.get(query).text)

    assert shown("/admin/webhooks/?account=") == [str(first), str(second)]
    assert shown(f"/admin/webhooks/?account={bob.id}") == shown("/admin/webhooks/?active=false") == [str(second)]
    assert shown("/admin/deliveries/?status=PENDING") == [str(second), str(first)]
    assert shown(f"/admin/deliveries/?account={ann.id}") == [str(first)]
    assert shown("/admin/deliveries/?status=FAILED") == []
    assert boss.get("/admin/deliveries/?account=nobody").status_code == 400


def test_staff_rename_a_category_on_all_of_its_products(own: Marketplace, boss: Browser) -> None:
    product = own.person().list()
    number, name = product["category"]["id"], product["category"]["name"]
    page, shown = "/admin/categories/", f"/products/api/v1/{product['id']}/"
    assert answer(own.anybody.get(shown))["category"]["name"] == name

    done = boss.submit(f"{page}{number}/rename/", {"name": "Renamed things"}, page=page).text

    assert "The category is renamed." in done
    assert answer(own.anybody.get(shown))["category"]["name"] == "Renamed things"
    assert "Category renamed" in boss.get("/admin/audit/?kind=category").text
    refused = boss.submit(f"{page}{number}/rename/", {"name": "SPORTS"}, page=page).text
    assert "A category with this name exists already." in refused


def test_staff_find_an_account_by_a_fragment_and_end_one_session(own: Marketplace, boss: Browser) -> None:
    kara, other = own.person(), own.person()
    answer(kara.patch("/users/api/v1/me/", {"first_name": "Kára", "last_name": "Lind"}))
    path = f"/admin/users/{kara.id}/"
    found = boss.get("/admin/users/?search=kara+li").text
    assert f'href="{path}"' in found
    assert f'href="/admin/users/{other.id}/"' not in found
    assert boss.get("/admin/users/?search=ka").status_code == 400

    (session,) = re.findall(r'name="session" value="(\d+)"', boss.get(path).text)
    done = boss.submit(f"{path}revoke-session/", {"session": session, "reason": "Lost a laptop."}, page=path).text

    assert "The session is ended." in done
    assert "Lost a laptop." in done
    assert 'name="session"' not in done
    assert kara.get("/users/api/v1/me/").status_code == 401
    assert other.get("/users/api/v1/me/").status_code == 200


def test_orders_and_the_audit_log_are_filtered_by_the_email_of_an_account(own: Marketplace, boss: Browser) -> None:
    seller, buyer = own.person(), own.person()
    product = seller.list(name="Blue cup", stock=9)["id"]
    order, other = own.sell(buyer, (product, 1))["id"], own.sell(own.person(), (product, 1))["id"]

    found = boss.get(f"/admin/orders/?buyer={buyer.email.upper()}&status=PAID").text
    assert f'href="/admin/orders/{order}/"' in found
    assert f'href="/admin/orders/{other}/"' not in found
    assert f'href="/admin/orders/{order}/"' in boss.get(f"/admin/orders/?seller={seller.id}").text
    for path, field in (
        ("orders", "buyer"), ("orders", "seller"), ("products", "seller"), ("audit", "actor"), ("webhooks", "account"),
        ("deliveries", "account"),
    ):  # fmt: skip
        for value, message in (("x@example.com", "No account has this"), ("me", "Enter the e-mail address")):
            refused = boss.get(f"/admin/{path}/?{field}={value}&from=2026-01-01")
            assert f'id="{field}-errors"' in refused.text, path
            assert message in refused.text
            assert f'value="{value}"' in refused.text
        assert boss.get(f"/admin/{path}/?{field}={buyer.email}").status_code == 200
    kept = boss.get("/admin/audit/?actor=x@example.com&search=telephone").text
    assert 'value="telephone"' in kept


def test_a_stop_of_all_pricing_names_who_stopped_it_and_since_when(own: Marketplace) -> None:
    account, boss = own.account(is_staff=True), Browser(own.client)
    boss.log_in(account.email, PASSWORD)
    front = boss.submit("/admin/pricing-stop/", page="/admin/pricing-stop/").text
    by = f'Stopped by <a href="/admin/users/{account.id}/">'
    assert by in front
    assert "Somebody" not in front
    assert re.search(r'data-label="Since"><time datetime="', front)
    assert by in boss.get("/admin/pricing-stop/").text
    audit = boss.get("/admin/audit/?action=pricing.stopped").text
    assert "Pricing stopped:</span> <del>no</del> → <ins>yes</ins>" in audit
    assert "is_stopped" not in audit
    boss.language = "ru"
    assert "Ценообразование остановлено:</span>" in boss.get("/admin/audit/?action=pricing.stopped").text


def test_all_pricing_is_stopped_after_a_confirmation_and_shown_as_a_trouble(boss: Browser) -> None:
    assert "Stop all pricing" in boss.get("/admin/pricing-stop/").text
    stopped = boss.submit("/admin/pricing-stop/", page="/admin/pricing-stop/").text
    assert "All pricing is stopped" in stopped

    resumed = boss.submit("/admin/solve/", {"solution": "resume_pricing", "id": "all"}, page="/admin/").text

    assert "Pricing is resumed." in resumed
    assert "Nothing needs a person." in resumed


def test_units_are_refunded_on_the_page_of_the_order(own: Marketplace, boss: Browser) -> None:
    product = own.person().list(name="Cup & <saucer>", stock=9)["id"]
    order = own.sell(own.person(), (product, 2))["id"]
    page = f"/admin/orders/{order}/"
    assert "Cup &amp; &lt;saucer&gt;" in boss.get(page).text

    nothing = boss.post(f"{page}refund/", {"product": product, f"quantity-{product}": "0"}, page=page)
    assert nothing.status_code == 400
    assert "Enter how many units of a line to refund." in nothing.text
    too_many = boss.post(f"{page}refund/", {"product": product, f"quantity-{product}": "3"}, page=page)
    assert too_many.status_code == 400
    done = boss.submit(
        f"{page}refund/", {"product": product, f"quantity-{product}": "1", "restock": "true"}, page=page
    ).text

    assert "The units are refunded" in done
    assert "Units were refunded" in done
    assert "up to 1" in done


def test_orders_are_filtered_and_wrong_filters_explained(own: Marketplace, boss: Browser) -> None:
    seller, buyer = own.person(), own.person()
    cup, pot = seller.list(name="Blue cup", stock=9)["id"], seller.list(name="Tea pot", stock=9)["id"]
    first, second = own.sell(buyer, (cup, 1))["id"], own.sell(buyer, (pot, 1))["id"]

    found = boss.get("/admin/orders/?search=blue+cup").text
    assert f'href="/admin/orders/{first}/"' in found
    assert f'href="/admin/orders/{second}/"' not in found
    refused = boss.get("/admin/orders/?buyer=nobody")
    assert refused.status_code == 400
    assert "field-errors" in refused.text
    assert "No order matches." in boss.get("/admin/orders/?from=2001-01-01&to=2001-01-02").text


def test_accounts_are_deactivated_and_reactivated_with_a_reason(own: Marketplace, boss: Browser) -> None:
    person: Person = own.person()
    page = f"/admin/users/{person.id}/"

    without = boss.post(f"{page}deactivate/", {"reason": ""}, page=page)
    assert without.status_code == 400
    assert 'id="reason-errors"' in without.text
    done = boss.submit(f"{page}deactivate/", {"reason": "Stolen telephone."}, page=page).text
    assert "Deactivated" in done
    assert "Stolen telephone." in done
    assert person.get("/users/api/v1/me/").status_code == 401
    assert "Account deactivated" in boss.get("/admin/audit/?search=telephone").text

    again = boss.submit(f"{page}reactivate/", {"reason": "Found."}, page=page).text

    assert "The account is active again." in again


def test_staff_are_appointed_and_dismissed(own: Marketplace, boss: Browser) -> None:
    person = own.person()
    page = f"/admin/users/{person.id}/"

    short = boss.post(f"{page}appoint-staff/", {"reason": "New.", "password": "x"}, page=f"{page}appoint-staff/")
    assert short.status_code == 400
    assert 'id="password-errors"' in short.text
    fields = {"reason": "New.", "password": "three words there"}
    assert "Appointed as staff" in boss.submit(f"{page}appoint-staff/", fields, page=f"{page}appoint-staff/").text

    dismissed = boss.submit(f"{page}dismiss-staff/", {"reason": "Left."}, page=page).text

    assert "Dismissed from staff" in dismissed


def test_categories_are_added_and_their_minimum_hold_is_set(boss: Browser) -> None:
    page = "/admin/categories/"
    added = boss.submit(page, {"name": "Lamps"}, page=page).text
    assert "Lamps" in added
    number = added.split(">Lamps<")[0].rsplit('<td class="number"', 1)[1].split(">")[1].split("<")[0]

    wrong = boss.submit(f"{page}{number}/", {"min_hold_days": "often"}, page=page).text
    assert "min_hold_days" in wrong
    held = boss.submit(f"{page}{number}/", {"min_hold_days": "1,5"}, page=page).text

    assert 'value="1.5"' in held
    assert boss.post(page, {"name": " "}, page=page).status_code == 400


def test_products_are_edited_stocked_and_taken_off_sale(own: Marketplace, boss: Browser) -> None:
    product = own.person().list(name="Pot", stock=5)["id"]
    page = f"/admin/products/{product}/"

    wrong = boss.post(page, {"name": "Pot", "price": "-1"}, page=page)
    assert wrong.status_code == 400
    assert 'id="price-errors"' in wrong.text
    assert "The product is changed." in boss.submit(page, {"name": "Big pot", "price": "12.50"}, page=page).text
    assert "The stock is changed." in boss.submit(f"{page}stock/", {"delta": "-2"}, page=page).text
    off = boss.submit("/admin/solve/", {"solution": "deactivate_product", "id": product, "next": page}, page=page).text

    assert "off sale" in off
    assert "Big pot" in off
    assert boss.get(f"/admin/products/?search={product}").url.path == page


def test_policies_are_switched_off_and_on(own: Marketplace, boss: Browser) -> None:
    seller = own.person()
    policy = seller.post("/pricing/api/v1/policies/", {"name": "Mine"}).json()["id"]
    page = f"/admin/policies/{policy}/"

    assert "Switch on" in boss.submit(f"{page}switch/", {"is_active": "false"}, page=page).text
    assert "Switch off" in boss.submit(f"{page}switch/", {"is_active": "true"}, page=page).text
    assert "Let it change prices" in boss.submit(f"{page}switch/", {"is_shadow": "true"}, page=page).text
    assert "Mine" in boss.get("/admin/policies/").text


def test_a_filter_by_day_covers_the_whole_day_in_utc() -> None:
    assert start_of("2026-11-30") == "2026-11-30T00:00:00Z"
    assert end_of("2026-11-30") == "2026-12-01T00:00:00Z"
    assert (start_of(""), end_of("soon")) == ("", "soon"), "the API refuses what is no day"
    assert end_of("9999-12-31") == "9999-12-31"


def test_changes_of_an_audit_entry_keep_absent_fields_apart_from_empty_ones() -> None:
    entry = {"before": {"name": "", "topics": ["a", "b"]}, "after": {"name": "Pot", "is_active": True}}

    assert changes(entry) == [
        Change("name", "", "Pot"),
        Change("topics", "a, b", None),
        Change("is_active", None, "true"),
    ]


def test_only_things_with_a_page_are_linked_from_the_audit_log() -> None:
    assert target_link("order", "7") == "/admin/orders/7/"
    assert target_link("payment", "7") is None
    assert target_link("order", "../users/1") is None
