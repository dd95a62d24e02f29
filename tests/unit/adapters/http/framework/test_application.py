"""The framework as a whole, on a small application."""

from collections.abc import Iterator
from typing import Any

import pytest
from httpx2 import Client

GOOD = {"name": "A thing", "price": "9.99"}


def problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document.keys() >= {"type", "title", "status", "detail", "code"}
    return document


def test_a_created_thing_can_be_read(ann: Client) -> None:
    made = ann.post("/things/", json=GOOD)
    assert made.status_code == 201
    assert made.headers["cache-control"] == "private, no-store"
    read = ann.get(made.headers["location"])
    assert read.json() == {"id": 1, "name": "A thing", "price": "9.99"}
    assert read.headers["etag"] == '"v1"'
    assert read.headers["vary"] == "Authorization"


def test_a_400_names_all_invalid_fields(ann: Client) -> None:
    document = problem(ann.post("/things/", json={"price": 0, "parts": [{"quantity": 0}]}), 400)
    assert list(document["errors"]) == ["name", "price", "parts[0].quantity"]
    assert document["code"] == "invalid"


def test_a_400_escapes_lone_surrogates_that_it_quotes(ann: Client) -> None:
    body = b'{"\\ud800": 1, "\\ud800": 2}'
    problem(ann.post("/things/", content=body, headers={"Content-Type": "application/json"}), 400)


def test_a_401_is_sent_before_the_body_is_validated(client: Client) -> None:
    response = client.post("/things/", content=b"{", headers={"Content-Type": "text/plain"})
    assert problem(response, 401)["code"] == "not_authenticated"
    assert response.headers["www-authenticate"] == 'Bearer realm="scalecommerce"'


@pytest.mark.parametrize("header", ["Bearer nobody", "Bearer", "Bearer ", "Basic YTpi", "nonsense", ""])
@pytest.mark.parametrize("path", ["/staff/", "/things/1/"])
def test_an_invalid_token_is_a_401_even_if_it_is_optional(client: Client, header: str, path: str) -> None:
    response = client.get(path, headers={"Authorization": header})
    assert problem(response, 401)["code"] == "token_not_valid"
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


def test_the_bearer_scheme_is_case_insensitive(client: Client) -> None:
    assert client.get("/staff/", headers={"Authorization": "bEARER  staff"}).json() == {"staff": 2}


def test_a_public_operation_ignores_tokens(client: Client) -> None:
    assert client.get("/things/", headers={"Authorization": "Bearer nobody"}).status_code == 200


def test_an_account_gets_a_403_for_a_staff_operation(ann: Client) -> None:
    assert problem(ann.get("/staff/"), 403)["code"] == "forbidden"


@pytest.mark.parametrize("path", ["/nothing/", "/things/1/", f"/things/{2**63}/", "/things/0/", "/things/01/"])
def test_an_unknown_path_or_id_is_a_404(client: Client, path: str) -> None:
    problem(client.get(path), 404)


@pytest.mark.parametrize("noise", ["x", "-1", "1.5", "%00", "9" * 1000, "%D9%A3", "%ff"])
def test_an_invalid_id_is_a_404(client: Client, noise: str) -> None:
    problem(client.get(f"/things/{noise}/"), 404)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "QUERY"])
@pytest.mark.parametrize("path", ["/things", "/things/1", "/staff"])
def test_a_path_without_its_trailing_slash_is_redirected(client: Client, method: str, path: str) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.content) == (308, b"")
    assert response.headers["location"] == f"{path}/"


def test_a_redirect_keeps_the_query_string_unchanged(client: Client) -> None:
    query = "brand=A%20B&brand=%C3%9F&price_min=1+2&x=%0D%0A&y=a/b?c"
    assert client.get(f"/things?{query}").headers["location"] == f"/things/?{query}"
    assert client.get("/things?").headers["location"] == "/things/"


def test_a_redirect_keeps_method_and_body(ann: Client) -> None:
    made = ann.post("/things", json=GOOD, follow_redirects=True)
    assert made.status_code == 201
    assert ann.get("/things/1", follow_redirects=True).json() == made.json()


@pytest.mark.parametrize(
    "path",
    [
        "/thing", "/things/0", f"/things/{2**63}", "/things/1/x", "//things", "//evil.example/things",
        "/\\evil.example", "/%5Cevil.example", "/%2F/evil.example", "//evil.example/%2F..", "/things/1%0A",
        "/things%0D%0AX-Evil:%201",
        "/docs/swagger-ui.css/x",
    ],
)  # fmt: skip
def test_a_path_that_exists_in_neither_spelling_is_a_404(client: Client, path: str) -> None:
    # Concatenated, since the client would parse the text after `//` as a host.
    response = client.get(f"{str(client.base_url).rstrip('/')}{path}")
    problem(response, 404)
    assert "location" not in response.headers


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_a_page_with_an_extra_slash_is_redirected(client: Client, path: str) -> None:
    response = client.get(f"{path}/?a=1")
    assert (response.status_code, response.headers["location"]) == (308, f"{path}?a=1")
    problem(client.get(f"{path}//"), 404)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "QUERY", "NONSENSE"])
def test_a_405_lists_the_allowed_methods(client: Client, method: str) -> None:
    response = client.request(method, "/things/")
    problem(response, 405)
    assert response.headers["allow"] == "GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_a_post_to_a_page_is_a_405(client: Client, path: str) -> None:
    response = client.post(path)
    problem(response, 405)
    assert "GET" in response.headers["allow"]


def test_options_and_head_send_headers_without_a_body(client: Client) -> None:
    options = client.options("/things/1/")
    assert (options.status_code, options.headers["allow"]) == (204, "DELETE, GET, HEAD, OPTIONS")
    head = client.head("/things/")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0, */*", "application/*;q=0", "image/*, text/*"])
def test_an_accept_header_without_json_is_a_406(client: Client, accept: str) -> None:
    problem(client.get("/things/", headers={"Accept": accept}), 406)


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "application/*",
        "text/html, application/json;q=0.1",
        "text/html,*/*;q=0.8",
        "",
        ",,,,",
        " , ,",
        ",application/json,",
        "APPLICATION/JSON",
    ],
)
def test_an_accept_header_that_allows_json_is_accepted(client: Client, accept: str) -> None:
    assert client.get("/things/", headers={"Accept": accept}).status_code == 200


def test_conditional_requests_compare_entity_tags(ann: Client) -> None:
    ann.post("/things/", json=GOOD)
    assert ann.get("/things/1/", headers={"If-None-Match": '"v0", W/"v1"'}).status_code == 304
    assert ann.get("/things/1/", headers={"If-None-Match": "*"}).status_code == 304
    assert ann.get("/things/1/", headers={"If-None-Match": "noise"}).status_code == 200
    for stale in ('"v2"', '"other"', 'W/"v1"'):
        problem(ann.delete("/things/1/", headers={"If-Match": stale}), 412)
    for noise in ("v1", '"v1', '"v1", "v2"', ""):
        assert "If-Match" in problem(ann.delete("/things/1/", headers={"If-Match": noise}), 400)["errors"]
    assert ann.delete("/things/1/", headers={"If-Match": '"v1"'}).status_code == 204


def test_a_body_with_a_long_content_length_is_a_413(ann: Client) -> None:
    problem(ann.post("/things/", json={"name": "x" * 1024 * 1024}), 413)


def test_a_streamed_body_that_is_too_long_is_a_413(ann: Client) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    problem(ann.post("/things/", content=chunks(), headers={"Content-Type": "application/json"}), 413)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Length": str(16 * 1024 + 1), "Authorization": "Bearer ann"}, 413),
        ({"Content-Length": "100"}, 401),
        ({"Content-Length": "100", "Authorization": "Bearer nobody"}, 401),
        ({"Content-Length": "100", "Content-Type": "text/plain", "Authorization": "Bearer ann"}, 415),
    ],
)
def test_a_body_that_cannot_be_accepted_is_not_read(client: Client, headers: dict[str, str], status: int) -> None:
    read = []

    def chunks() -> Iterator[bytes]:
        read.append("a chunk")
        yield b"{}"

    response = client.post("/things/", content=chunks(), headers={"Content-Type": "application/json", **headers})
    problem(response, status)
    assert not read


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {},
    ],
)
def test_a_body_that_is_not_plain_json_is_a_415(ann: Client, headers: dict[str, str]) -> None:
    problem(ann.post("/things/", content=b"{}", headers=headers), 415)


def test_the_content_type_may_name_utf_8(ann: Client) -> None:
    headers = {"Content-Type": 'Application/JSON; charset="UTF-8"'}
    assert ann.post("/things/", content=b'{"name": "a", "price": 1}', headers=headers).status_code == 201


@pytest.mark.parametrize("key", ["", "two words", "k" * 256, "\x7f"])
def test_an_invalid_idempotency_key_is_a_400(ann: Client, key: str) -> None:
    document = problem(ann.post("/things/", json=GOOD, headers={"Idempotency-Key": key}), 400)
    assert list(document["errors"]) == ["Idempotency-Key"]


def test_a_500_contains_only_the_request_id(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    response = client.get("/crash/", headers={"X-Request-ID": "request-77"})
    document = problem(response, 500)
    assert "secret" not in response.text
    assert document["request_id"] == response.headers["x-request-id"] == "request-77"
    (record,) = caplog.records
    assert record.__dict__.items() >= {"request_id": "request-77", "path": "/crash/", "method": "GET"}.items()
    assert record.exc_info is not None


def test_request_ids_are_taken_from_the_client_or_generated(client: Client) -> None:
    assert len(client.get("/things/").headers["x-request-id"]) == 16
    assert client.get("/things/", headers={"X-Request-ID": "bad id\t!"}).headers["x-request-id"] != "bad id\t!"


def test_every_response_has_security_headers(client: Client) -> None:
    for path in ("/", "/docs", "/openapi.json", "/things/", "/nothing/"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        forbidden = {f"{name} 'none'" for name in ("default-src", "base-uri", "form-action", "frame-ancestors")}
        assert forbidden <= {*headers["content-security-policy"].split("; ")}


def test_page_links_keep_the_other_parameters(ann: Client) -> None:
    for _ in range(3):
        ann.post("/things/", json=GOOD)
    first = ann.get("/things/?brand=A&brand=B&page_size=2").json()
    assert [row["id"] for row in first["results"]] == [1, 2]
    assert first["previous"] is None
    assert first["next"].startswith("http://testserver/things/?brand=A&brand=B&page_size=2&cursor=")
    second = ann.get(first["next"]).json()
    assert [row["id"] for row in second["results"]] == [3]
    assert second["next"] is None


def test_a_cursor_is_valid_for_its_list_only(ann: Client) -> None:
    for _ in range(3):
        ann.post("/things/", json=GOOD)
    link = ann.get("/things/?brand=A&page_size=2").json()["next"]
    assert ann.get(link.replace("page_size=2", "page_size=1")).status_code == 200
    for wrong in (link.replace("brand=A", "brand=B"), link[:-1] + ("A" if link[-1] != "A" else "B"), link + "x"):
        assert list(problem(ann.get(wrong), 400)["errors"]) == ["cursor"]
    assert list(problem(ann.get("/things/?cursor=" + "A" * 5000), 400)["errors"]) == ["cursor"]
