"""Export and deletion of accounts over HTTP."""

from tests.unit.support.http_marketplace import PASSWORD, USERS, Marketplace, answer, problem


def test_the_owner_downloads_and_deletes_the_account(place: Marketplace) -> None:
    person, buyer = place.person(first_name="Kara"), place.person()
    product = person.list(stock=3)
    order = place.reserve(buyer, (product["id"], 1))
    response = person.get(f"{USERS}me/export/")
    assert response.headers["content-disposition"] == 'attachment; filename="account.json"'
    assert response.headers["cache-control"] == "private, no-store"
    document = answer(response)
    assert document["account"]["email"] == person.email
    assert [each["id"] for each in document["products"]] == [product["id"]]
    assert problem(person.post(f"{USERS}me/deletion/", {"password": PASSWORD}), 409)["code"] == "orders_open"
    problem(person.post(f"{USERS}me/deletion/", {"password": "wrong"}), 400, "password")
    answer(buyer.act(order, "cancel"))
    assert person.post(f"{USERS}me/deletion/", {"password": PASSWORD}).status_code == 204
    problem(person.get(f"{USERS}me/"), 401)
    problem(place.anybody.get(f"/products/api/v1/{product['id']}/"), 404)
    answer(place.anybody.post(f"{USERS}sign-up/", {"email": person.email, "password": PASSWORD}), 201)


def test_staff_download_and_delete_the_accounts_of_others(place: Marketplace) -> None:
    staff, person = place.person(is_staff=True), place.person()
    for path in (f"{USERS}{person.id}/export/", f"{USERS}{person.id}/deletion/"):
        method = "GET" if path.endswith("export/") else "POST"
        problem(person.send(method, path, json=None if method == "GET" else {"reason": "Mine."}), 403)
    assert answer(staff.get(f"{USERS}{person.id}/export/"))["account"]["id"] == person.id
    problem(staff.post(f"{USERS}{person.id}/deletion/", {}), 400, "reason")
    assert staff.post(f"{USERS}{person.id}/deletion/", {"reason": "Asked by letter."}).status_code == 204
    account = answer(staff.get(f"{USERS}{person.id}/"))
    assert account["email"].endswith("@deleted.invalid")
    assert [(each["kind"], each["actor"]) for each in account["actions"]] == [
        ("deleted", staff.id),
        ("exported", staff.id),
    ]


def test_a_long_export_arrives_in_chunks(place: Marketplace) -> None:
    person = place.person()
    for number in range(40):
        person.list(name=f"Tea pot {number}", description="x" * 4_000)
    assert len(answer(person.get(f"{USERS}me/export/"))["products"]) == 40


def test_exports_are_limited(place: Marketplace) -> None:
    person = place.person()
    for _ in range(5):
        answer(person.get(f"{USERS}me/export/"))
    assert int(person.get(f"{USERS}me/export/").headers["retry-after"]) > 0
