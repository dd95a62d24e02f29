"""Streams of events: what they report, when, and how they end."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from attrs import define, field

from adapters.web.framework.browser_sessions import BrowserSessions
from adapters.web.framework.endpoint import Api, create_call
from adapters.web.framework.page import Features
from adapters.web.live import hub as hub_module
from adapters.web.live import stream
from adapters.web.live.hub import LiveHub, LiveRun, Subscription
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.domain.identifiers import RunId
from scalecommerce_core.pricing.runs import Run, RunStatus
from scalecommerce_core.queries import Queries
from scalecommerce_core.testing import MemoryCatalogFeed
from tests.unit.support.shop import PASSWORD, Shop, line, usd


@define
class Reader:
    """One connection to `/live/` on the loop of the test."""

    query: str
    headers: dict[str, str] = field(factory=dict)
    address: str = "127.0.0.1"
    status: int = 0
    text: str = ""
    closed: asyncio.Event = field(factory=asyncio.Event)

    async def read(self, app: Callable[..., Awaitable[None]]) -> None:
        async def receive() -> dict[str, Any]:
            await self.closed.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
            else:
                self.text += message.get("body", b"").decode()

        headers = [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
            "scheme": "http", "path": "/live/", "raw_path": b"/live/", "root_path": "",
            "query_string": self.query.encode(), "headers": [(b"host", b"localhost"), *headers],
            "client": (self.address, 1), "server": ("localhost", 80),
        }  # fmt: skip
        await app(scope, receive, send)

    @property
    def events(self) -> list[tuple[str, Any]]:
        found = []
        for block in self.text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "event" in fields:
                found.append((fields["event"], json.loads(fields["data"])))
        return found

    @property
    def last_id(self) -> str:
        """The id of the last event; empty before the first one."""
        return self.text.rpartition("\nid: ")[2].split("\n")[0] if "\nid: " in self.text else ""


@define
class Streams:
    """The streams of one process, and the readers that are connected."""

    hub: LiveHub
    app: stream.LiveStreams
    tasks: list[asyncio.Task[None]] = field(factory=list)

    async def open(self, query: str, headers: Mapping[str, str] | None = None) -> Reader:
        """Connect a reader and wait for its first bytes, or the end of the response."""
        reader = Reader(query, dict(headers or {}))
        self.tasks.append(asyncio.create_task(reader.read(self.app)))
        await until(lambda: reader.text or self.tasks[-1].done())
        return reader

    async def hub_is_idle(self) -> None:
        """Wait until the hub has reported all changes so far."""
        await asyncio.sleep(0)
        await until(lambda: self.hub.is_idle)


async def until(happens: Callable[[], object]) -> None:
    """Wait until a condition holds; fail after five seconds."""
    async with asyncio.timeout(5):
        while not happens():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.002)


@asynccontextmanager
async def streams(shop: Shop, limits: stream.StreamLimits = stream.DEFAULT_STREAM_LIMITS) -> AsyncIterator[Streams]:
    hub = LiveHub(shop.market.queries)
    hub.start()
    MemoryCatalogFeed(shop.store).follow(hub)
    api = Api()
    opened = Streams(
        hub, stream.LiveStreams(hub, api, BrowserSessions(shop.market.sessions, shop.clock.now), Features(), limits)
    )
    try:
        yield opened
    finally:
        hub.close()
        await asyncio.gather(*opened.tasks)
        assert len(hub) == 0


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "COLLECT_SECONDS", 0.0)
    monkeypatch.setattr(hub_module, "READ_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(hub_module, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(hub_module, "RUN_SECONDS", 0.0)


def test_a_stream_begins_with_the_present_prices_and_reports_changes(shop: Shop) -> None:
    async def scenario() -> None:
        seller = shop.person("sam")
        kettle, lamp = shop.list(seller, "36.00"), shop.list(seller, "15.00", stock=0)
        async with streams(shop) as opened:
            reader = await opened.open(f"product={kettle}&product={lamp}")
            await until(lambda: len(reader.events) == 2)
            assert reader.text.startswith("retry: 2000\n\n")
            first = {"id": kettle, "available": True, "text": "$36.00", "amount": "36.00", "currency": "USD"}
            second = {"id": lamp, "available": False, "text": "$15.00", "amount": "15.00", "currency": "USD"}
            assert reader.events == [("product", first), ("product", second)]
            shop.edit(kettle, price=usd("30.00"))
            await until(lambda: len(reader.events) == 3)
            assert reader.events[2] == ("product", first | {"text": "$30.00", "amount": "30.00"})

    asyncio.run(scenario())


def test_the_states_of_a_run_are_reported_until_it_has_ended() -> None:
    class Runs:
        """Queries whose run is rolled back at its third read."""

        def __init__(self) -> None:
            self.reads: list[RunId] = []

        def repricing_run(self, run_id: RunId) -> Run:
            self.reads.append(run_id)
            status = RunStatus.ROLLING_BACK if len(self.reads) < 3 else RunStatus.ROLLED_BACK
            return cast("Run", SimpleNamespace(id=run_id, status=status))

    async def scenario() -> None:
        runs = Runs()
        hub = LiveHub(cast("Queries", runs))
        hub.start()
        subscription = Subscription((), (), [RunId(4)])
        first = await hub.read((), (), subscription.runs)
        hub.open(subscription)
        await until(lambda: LiveRun(RunId(4), RunStatus.ROLLED_BACK) in subscription.pending.values())
        assert first == [LiveRun(RunId(4), RunStatus.ROLLING_BACK)]
        assert subscription.take() == [LiveRun(RunId(4), RunStatus.ROLLED_BACK)]
        assert stream._encode(LiveRun(RunId(4), RunStatus.ROLLED_BACK), "en") == (
            b'event: run\ndata: {"id":4,"status":"ROLLED_BACK"}\n'
        )
        hub.discard(subscription)
        assert runs.reads == [RunId(4)] * 3
        assert len(hub) == 0

    asyncio.run(scenario())


def test_changes_that_a_reader_does_not_see_are_not_sent(shop: Shop) -> None:
    async def scenario() -> None:
        seller = shop.person("sam")
        watched, other = shop.list(seller), shop.list(seller)
        async with streams(shop) as opened:
            reader = await opened.open(f"product={watched}")
            await until(lambda: len(reader.events) == 1)
            shop.edit(other, price=usd("30.00"))
            shop.edit(watched, description="new")
            shop.edit(watched, price=usd("9.00"))
            await until(lambda: len(reader.events) == 2)
            assert reader.events[1][1]["amount"] == "9.00"

    asyncio.run(scenario())


def test_a_change_that_readers_do_not_see_wakes_no_stream(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    put = []
    monkeypatch.setattr(Subscription, "put", lambda _, item: put.append(item))

    async def scenario() -> None:
        product = shop.list(shop.person("sam"))
        async with streams(shop) as opened:
            reader = await opened.open(f"product={product}")
            await until(lambda: reader.events)
            for text in ("first", "second", "third"):
                shop.edit(product, description=text)
                await opened.hub_is_idle()
            assert len(put) == 1

    asyncio.run(scenario())


def test_a_stream_that_opens_between_two_changes_gets_the_second_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The price changes and changes back; the stream has read the price in between."""

    async def scenario() -> None:
        product = shop.list(shop.person("sam"))
        async with streams(shop) as opened:
            first = await opened.open(f"product={product}")
            await until(lambda: first.events)
            shop.edit(product, price=usd("9.00"))
            await until(lambda: len(first.events) == 2)
            read_by_hub = opened.hub.read

            async def read_and_change_back(*ids: Any) -> Any:
                items = await read_by_hub(*ids)
                monkeypatch.setattr(opened.hub, "read", read_by_hub)
                shop.edit(product, price=usd("9.00"))
                await opened.hub_is_idle()
                return items

            shop.store.changed, report = (lambda _: None), shop.store.changed
            shop.edit(product, price=usd("8.00"))
            shop.store.changed = report
            monkeypatch.setattr(opened.hub, "read", read_and_change_back)
            second = await opened.open(f"product={product}")
            await until(lambda: len(second.events) == 2)
            assert [event["amount"] for _, event in second.events] == ["8.00", "9.00"]

    asyncio.run(scenario())


def test_a_product_that_buyers_do_not_see_has_no_price(shop: Shop) -> None:
    async def scenario() -> None:
        product = shop.list(shop.person("sam"))
        async with streams(shop) as opened:
            reader = await opened.open(f"product={product}")
            await until(lambda: len(reader.events) == 1)
            shop.edit(product, is_active=False)
            await until(lambda: len(reader.events) == 2)
            assert reader.events[1] == ("product", {"id": product, "available": False})

    asyncio.run(scenario())


def test_a_reader_that_connects_again_gets_the_state_only_if_it_differs(shop: Shop) -> None:
    async def scenario() -> None:
        product = shop.list(shop.person("sam"))
        async with streams(shop) as opened:
            first = await opened.open(f"product={product}")
            await until(lambda: first.last_id)
            again = await opened.open(f"product={product}", {"Last-Event-ID": first.last_id})
            shop.edit(product, price=usd("9.00"))
            await until(lambda: again.events)
            assert [event["amount"] for _, event in again.events] == ["9.00"]
            late = await opened.open(f"product={product}", {"Last-Event-ID": "older"})
            await until(lambda: late.events)
            assert late.events[0][1]["amount"] == "9.00"

    asyncio.run(scenario())


def test_prices_have_the_format_of_the_reader(shop: Shop) -> None:
    async def scenario() -> None:
        product = shop.list(shop.person("sam"), "1234.50")
        async with streams(shop) as opened:
            reader = await opened.open(f"product={product}", {"Accept-Language": "ru"})
            await until(lambda: reader.events)
            assert reader.events[0][1]["text"] == "1\xa0234,50\xa0$"

    asyncio.run(scenario())


def test_an_idle_stream_sends_heartbeats_and_ends_at_its_maximum_age(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.001)
    monkeypatch.setattr(stream, "MAX_AGE_SECONDS", 0.1)

    async def scenario() -> None:
        product = shop.list(shop.person("sam"))
        async with streams(shop) as opened:
            reader = await opened.open(f"product={product}")
            await until(opened.tasks[0].done)
            assert ": heartbeat\n\n" in reader.text

    asyncio.run(scenario())


def test_the_stream_of_a_reader_that_reads_nothing_ends_too(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_AGE_SECONDS", 0.02)
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.02)

    async def read() -> None:
        async with streams(shop) as opened:
            stuck = asyncio.Event()

            async def receive() -> dict[str, Any]:
                await asyncio.Event().wait()
                return {}

            async def send(message: MutableMapping[str, Any]) -> None:
                if message["type"] == "http.response.body":
                    stuck.set()
                    await asyncio.Event().wait()

            scope = {
                "type": "http", "method": "GET", "scheme": "http", "path": "/live/", "query_string": b"",
                "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "server": ("localhost", 80),
                "asgi": {"version": "3.0", "spec_version": "2.3"}, "root_path": "", "raw_path": b"/live/",
            }  # fmt: skip
            await asyncio.wait_for(opened.app(scope, receive, send), 30)
            assert stuck.is_set()

    asyncio.run(read())


def test_all_streams_end_when_the_server_stops_and_new_ones_are_refused(shop: Shop) -> None:
    async def scenario() -> None:
        product = shop.list(shop.person("sam"))
        async with streams(shop) as opened:
            readers = [await opened.open(f"product={product}") for _ in range(3)]
            opened.hub.close()
            await until(lambda: all(task.done() for task in opened.tasks))
            assert {reader.status for reader in readers} == {200}
            assert (await opened.open(f"product={product}")).status == 503

    asyncio.run(scenario())


def test_a_reader_that_leaves_is_forgotten(shop: Shop) -> None:
    async def scenario() -> None:
        product = shop.list(shop.person("sam"))
        async with streams(shop) as opened:
            reader = await opened.open(f"product={product}")
            assert len(opened.hub) == 1
            reader.closed.set()
            await until(lambda: len(opened.hub) == 0)

    asyncio.run(scenario())


@pytest.mark.parametrize("limits", [stream.StreamLimits(per_client=2), stream.StreamLimits(total=2)])
def test_the_number_of_streams_is_limited(shop: Shop, limits: stream.StreamLimits) -> None:
    async def scenario() -> None:
        async with streams(shop, limits) as opened:
            first = await opened.open("")
            await opened.open("")
            assert (await opened.open("")).status == 503
            first.closed.set()
            await until(lambda: len(opened.hub) == 1)
            assert (await opened.open("")).status == 200

    asyncio.run(scenario())


def test_streams_count_while_their_access_is_checked(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        checked = asyncio.Event()

        async def check(*arguments: Any) -> Any:
            await checked.wait()
            return await create_call(*arguments)

        monkeypatch.setattr("adapters.web.live.stream.create_call", check)
        async with streams(shop, stream.StreamLimits(per_client=1)) as opened:
            reader = Reader("")
            opened.tasks.append(asyncio.create_task(reader.read(opened.app)))
            assert (await opened.open("")).status == 503
            checked.set()
            await until(lambda: reader.text)
            assert reader.status == 200

    asyncio.run(scenario())


def test_addresses_of_one_network_share_a_limit(shop: Shop) -> None:
    async def scenario() -> None:
        async with streams(shop, stream.StreamLimits(per_client=1)) as opened:
            statuses = []
            for address in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"):
                reader = Reader("", address=address)
                opened.tasks.append(asyncio.create_task(reader.read(opened.app)))
                await until(partial(getattr, reader, "status"))
                statuses.append(reader.status)
            assert statuses == [200, 503, 200]

    asyncio.run(scenario())


def test_events_that_are_sent_at_once_share_one_id(shop: Shop) -> None:
    async def scenario() -> None:
        seller = shop.person("sam")
        products = [shop.list(seller, "36.00") for _ in range(3)]
        async with streams(shop) as opened:
            reader = await opened.open("&".join(f"product={each}" for each in products))
            await until(lambda: len(reader.events) == 3)
            assert reader.text.count("\nid: ") == 1
            assert reader.text.endswith(f"id: {reader.last_id}\n\n")

    asyncio.run(scenario())


@pytest.mark.parametrize("query", ["product=x", "product=-1", "order=1.5", "run=1&run=2", "product=" + "9" * 30])
def test_malformed_ids_are_refused(shop: Shop, query: str) -> None:
    async def scenario() -> None:
        async with streams(shop) as opened:
            assert (await opened.open(query)).status == 400

    asyncio.run(scenario())


def test_too_many_products_are_refused(shop: Shop) -> None:
    async def scenario() -> None:
        async with streams(shop) as opened:
            query = "&".join(f"product={number}" for number in range(1, 102))
            assert (await opened.open(query)).status == 400

    asyncio.run(scenario())


def test_a_failed_read_is_repeated_and_its_cause_is_logged_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        product = shop.list(shop.person("sam"))
        async with streams(shop) as opened:
            reader = await opened.open(f"product={product}")
            await until(lambda: reader.events)
            read, failures = opened.hub.read, iter([Unavailable("away")] * 3)

            async def fail(*ids: Any) -> Any:
                if (error := next(failures, None)) is not None:
                    raise error
                return await read(*ids)

            monkeypatch.setattr(opened.hub, "read", fail)
            shop.edit(product, price=usd("9.00"))
            await until(lambda: len(reader.events) == 2)

    asyncio.run(scenario())
    assert [text for text in caplog.messages if "late" in text] == ["live figures are late: away"]


def test_after_an_interruption_of_the_feed_all_watched_products_are_read_again(shop: Shop) -> None:
    async def scenario() -> None:
        product = shop.list(shop.person("sam"))
        async with streams(shop) as opened:
            reader = await opened.open(f"product={product}")
            await until(lambda: reader.events)
            shop.store.changed = lambda _: None
            shop.edit(product, price=usd("9.00"))
            opened.hub.on_start(1)
            await until(lambda: len(reader.events) == 2)

    asyncio.run(scenario())


def test_open_streams_keep_the_feed_in_use(shop: Shop) -> None:
    async def scenario() -> None:
        calls: list[None] = []
        hub = LiveHub(shop.market.queries, lambda: calls.append(None))
        hub.start()
        hub.on_heartbeat(1.0)
        assert not calls
        subscription = Subscription((), ())
        hub.open(subscription)
        assert len(calls) == 1
        hub.on_heartbeat(2.0)
        assert len(calls) == 2
        hub.discard(subscription)
        hub.on_heartbeat(3.0)
        assert len(calls) == 2

    asyncio.run(scenario())


@pytest.mark.parametrize("is_logged_in", [True, False])
def test_new_events_are_reported_to_those_who_are_logged_in(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, *, is_logged_in: bool
) -> None:
    monkeypatch.setattr(stream, "FIGURES_SECONDS", 0.0)

    async def scenario() -> None:
        buyer, product = shop.person("zoe"), shop.list(shop.person("sam"))
        who = shop.market.sessions.identify(shop.market.accounts.log_in(buyer.email, PASSWORD).access)
        cookie = {"Cookie": f"session={shop.market.sessions.bind_cookie(who)}"} if is_logged_in else {}
        async with streams(shop) as opened:
            reader = await opened.open(f"figures=1&product={product}", cookie)
            await until(lambda: reader.events)
            shop.reserve(buyer, line(product))
            shop.market.relay.assign_sequence()
            shop.edit(product, price=usd("9.00"))
            await until(lambda: [name for name, _ in reader.events].count("product") == 2)
            if is_logged_in:
                await until(lambda: ("figures", {}) in reader.events)
            assert (("figures", {}) in reader.events) is is_logged_in

    asyncio.run(scenario())


def test_the_streams_of_a_session_end_when_it_is_revoked(shop: Shop) -> None:
    async def scenario() -> None:
        buyer = shop.person("zoe")
        order = shop.place(buyer, line(shop.list(shop.person("sam"))))
        sessions = [
            shop.market.sessions.identify(shop.market.accounts.log_in(buyer.email, PASSWORD).access) for _ in "12"
        ]
        cookies = [{"Cookie": f"session={shop.market.sessions.bind_cookie(who)}"} for who in sessions]
        async with streams(shop) as opened:
            for cookie in cookies:
                await opened.open(f"figures=1&product={order.lines[0].product_id}", cookie)
            shop.market.sessions.log_out(sessions[0])
            await until(opened.tasks[0].done)
            assert not opened.tasks[1].done()

    asyncio.run(scenario())
