"""The output of the `webhooks` commands, and the deliveries that they send again."""

import json
from datetime import timedelta
from typing import Any

import pytest

from scalecommerce_core.domain.identifiers import EndpointId
from scalecommerce_core.domain.webhook import WebhookAnswer
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.webhooks import ActOnEndpoint, CreateEndpoint
from scalecommerce_core.testing import RecordingSender, in_memory_market
from tests.unit.adapters.cli.conftest import Cli, MemoryRuntime
from tests.unit.support.shop import MarketActions

GONE = WebhookAnswer(timedelta(milliseconds=7), status=410)
BAD = WebhookAnswer(timedelta(milliseconds=7), status=500)


class Post:
    def __init__(self, runtime: MemoryRuntime) -> None:
        self.sender = RecordingSender()
        self.clock = runtime.clock
        runtime.market = in_memory_market(runtime.clock, sender=self.sender)
        self.webhooks = runtime.market.webhooks
        self.owner = MarketActions(runtime.market).person("sam").id

    def create(self, host: str = "example.com", *topics: str) -> EndpointId:
        made = unwrap_single(self.webhooks.create([CreateEndpoint(self.owner, f"https://{host}/", topics)]))
        self.webhooks.deliver()
        return made.endpoint.id

    def ping(self, endpoint: EndpointId, answer: WebhookAnswer | None = None) -> int:
        """Send a ping that is answered by `answer`; return the number of its delivery."""
        made = unwrap_single(self.webhooks.ping([ActOnEndpoint(endpoint, self.owner)]))
        if answer is not None:
            self.sender.answer = lambda _message: answer
        self.webhooks.deliver()
        return made.id


@pytest.fixture
def post(runtime: MemoryRuntime) -> Post:
    return Post(runtime)


def shown(ended: Any) -> Any:
    assert ended.code == 0, ended
    return json.loads(ended.out)


def test_missing_endpoints_and_deliveries_are_reported(cli: Cli) -> None:
    assert cli("webhooks", "list").out == "There are no endpoints.\n"
    assert cli("webhooks", "deliveries", "--failed").out == "There are no such deliveries.\n"
    assert cli("pricing", "runs").out == "There are no runs.\n"
    assert cli("pricing", "policies").out == "There are no policies.\n"


def test_endpoints_are_listed_with_their_states(cli: Cli, post: Post) -> None:
    post.create("well.example.com", "order.paid")
    post.ping(post.create("gone.example.com"), GONE)
    post.ping(post.create("failing.example.com"), BAD)
    ended = cli("webhooks", "list")
    lines = {line.split("│")[3].strip(): line for line in ended.out.splitlines() if "https" in line}
    assert "order.paid" in lines["https://well.example.com/"]
    assert "active" in lines["https://well.example.com/"]
    assert "disabled: The receiver answered 410" in lines["https://gone.example.com/"]
    assert "failing since 2026-01-01" in lines["https://failing.example.com/"]
    document = shown(cli("webhooks", "list", "--json"))
    assert [each["is_active"] for each in document] == [True, False, True]
    assert "whsec" not in ended.out + json.dumps(document)
    assert "sealed" not in json.dumps(document)


def test_deliveries_are_listed_all_or_failed_ones(cli: Cli, post: Post) -> None:
    endpoint = post.create()
    good, bad = post.ping(endpoint), post.ping(endpoint, BAD)
    ended = cli("webhooks", "deliveries")
    assert ended.code == 0
    assert "200 in 5 ms" in ended.out
    assert "500 in 7 ms" in ended.out
    assert [each["id"] for each in shown(cli("webhooks", "deliveries", "--json", "--limit", "2"))] == [bad, good]
    assert [each["id"] for each in shown(cli("webhooks", "deliveries", "--failed", "--json"))] == [bad]
    unknown = cli("webhooks", "deliveries", "--endpoint", "99")
    assert (unknown.code, unknown.err) == (1, "There is no endpoint 99.\n")


def test_deliveries_are_repeated_by_id(cli: Cli, post: Post) -> None:
    failed = post.ping(post.create(), BAD)
    before = post.sender.sent[-1].headers["webhook-id"]
    ended = cli("webhooks", "redeliver", str(failed))
    assert (ended.code, ended.out) == (0, "Queued again: 1 deliveries.\n")
    post.webhooks.deliver()
    assert post.sender.sent[-1].headers["webhook-id"] == before
    ended = cli("webhooks", "redeliver", "99", "--json")
    assert ended.code == 1
    assert json.loads(ended.out) == {"redelivered": 0, "refused": ["There is no delivery 99."]}


def test_deliveries_are_repeated_by_endpoint_and_time(cli: Cli, post: Post) -> None:
    endpoint, other = post.create(), post.create()
    post.ping(endpoint)
    post.clock.advance(hours=1)
    post.ping(endpoint, BAD)
    post.ping(other, BAD)
    post.clock.advance(hours=1)
    again = ("webhooks", "redeliver", "--endpoint", str(endpoint), "--json")
    nothing = {"redelivered": 0, "refused": []}
    assert shown(cli(*again, "--until", "2026-01-01T01:00:00")) == nothing
    assert shown(cli(*again, "--since", "2026-01-01T01:00:01")) == nothing
    assert shown(cli(*again, "--since", "2026-01-01"))["redelivered"] == 1
    assert shown(cli(*again)) == nothing
    assert shown(cli(*again, "--delivered-too"))["redelivered"] == 1


def test_a_time_range_that_ends_before_its_start_is_refused(cli: Cli, post: Post) -> None:
    again = ("webhooks", "redeliver", "--endpoint", str(post.create()))
    ended = cli(*again, "--since", "2026-01-02", "--until", "2026-01-01")
    assert (ended.code, " ".join(ended.err.split())) == (2, "--since: This is later than --until.")
    ended = cli(*again, "--since", "2100-01-01")
    assert (ended.code, " ".join(ended.err.split())) == (2, "--since: This is later than now.")
    # The same moment in another zone.
    assert cli(*again, "--since", "2026-01-01T02:00:00+02:00", "--until", "2026-01-01T00:00:00Z").code == 0
    assert cli(*again, "--until", "0001-01-01").code == 2
    # Without --since, the range begins a day before --until.
    assert cli(*again, "--until", "2020-01-01").code == 0


def test_options_of_an_endpoint_are_refused_with_ids(cli: Cli, post: Post) -> None:
    failed = str(post.ping(post.create(), BAD))
    for options in (("--since", "2026-01-01"), ("--until", "2026-01-01"), ("--delivered-too",)):
        ended = cli("webhooks", "redeliver", failed, *options)
        assert ended.code == 2
        assert "they do not apply to ids" in " ".join(ended.err.split())


def test_redeliver_requires_ids_or_an_endpoint(cli: Cli, post: Post) -> None:
    assert post.owner
    for arguments in ((), ("1", "--endpoint", "1")):
        ended = cli("webhooks", "redeliver", *arguments)
        assert ended.code == 2
        assert "Pass either ids of deliveries or --endpoint." in " ".join(ended.err.split())


def test_an_operator_verifies_an_endpoint(cli: Cli, post: Post) -> None:
    post.sender.verifies = False
    endpoint = post.create()
    assert "not verified" in cli("webhooks", "list").out
    assert cli("webhooks", "verify", str(endpoint)).out == f"Endpoint {endpoint} receives events from now on.\n"
    assert shown(cli("webhooks", "list", "--json"))[0]["is_verified"] is True
    assert cli("webhooks", "verify", "99").code == 1
