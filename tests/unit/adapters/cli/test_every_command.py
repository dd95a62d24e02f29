"""Rules for every command in the tree of commands: help, wrong usage, JSON, 80 columns."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest

from adapters.cli import online_retail
from adapters.cli.commands import REPLACED_COMMANDS
from scalecommerce_core.domain.audit import AuditAction, AuditEntry
from scalecommerce_core.domain.identifiers import EmailId, PaymentId, ProductId, SessionId
from scalecommerce_core.domain.outgoing_email import EmailKind, OutgoingEmail
from scalecommerce_core.domain.payment import Charged, Payment
from scalecommerce_core.domain.session import session_number
from scalecommerce_core.domain.webhook import WebhookAnswer
from scalecommerce_core.pricing.runs import ApprovalLimits, RunStatus
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.experiments import EndExperiment, StartExperiment
from scalecommerce_core.services.pricing import CreatePolicy
from scalecommerce_core.services.promotions import CreatePromotion
from scalecommerce_core.services.repricing import Repricing
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.webhooks import ActOnEndpoint, CreateEndpoint
from scalecommerce_core.testing import CountingOneTimePasswords, RecordingSender, in_memory_market
from tests.unit.adapters.cli.conftest import Cli, MemoryRuntime
from tests.unit.adapters.cli.test_help import ALL
from tests.unit.support.command_tree import command_tree
from tests.unit.support.shop import PASSWORD, MarketActions, line, usd

HOSTILE = "[/red] :tea: [bold]" + "very " * 12 + "long"
"""A name that looks like markup and is wider than its column."""
ADDRESS = "https://receiver.example.com/" + "hooks/" * 8
SAMPLE = str(Path(online_retail.__file__).with_name("sample.csv"))
SELLER = "seller@example.com"
WIDTH = 80

WITHOUT_DATA = {"up", "serve", "worker", "beat"}
"""Commands that run until a signal and print no data."""
FILES = {"export products", "export orders"}
"""Commands whose output is a file, in the format of `--format`."""

SESSION = str(session_number(SessionId("token-9")))
"""The open session of the seller."""
OPEN_PAYMENT, LATE_PAYMENT = (PaymentId(UUID(int=number)) for number in (2**100, 2**101))
OPEN_REFUND = uuid5(LATE_PAYMENT, "refund behind 0")

RIGHT: Mapping[str, Sequence[str]] = {
    "migrate": [],
    "settings": [],
    "seed": ["--users", "6", "--products", "8", "--orders", "20"],
    "createsuperuser": ["--email", "root@example.com", "--password-stdin"],
    "attention": ["--limit", "5"],
    "backlogs": [],
    "orders list": ["--seller", SELLER, "--status", "PAID"],
    "orders show": ["1"],
    "orders requeue": ["1"],
    "orders cancel": ["3", "--reason", HOSTILE],
    "orders archive": [],
    "orders verify": [],
    "products list": ["--seller", SELLER, "--on-sale"],
    "products own": ["--seller", SELLER, "--stock", "in", "--active"],
    "categories list": [],
    "categories rename": ["1", "Devices"],
    "payments check": [str(OPEN_PAYMENT)],
    "payments send-refund": [str(OPEN_REFUND)],
    "emails send": ["1"],
    "users list": ["--limit", "10"],
    "users show": [SELLER],
    "users sessions": [SELLER],
    "users revoke-session": [SELLER, SESSION, "--reason", HOSTILE],
    "users api-keys": [SELLER],
    "users revoke-api-key": [SELLER, "1"],
    "users deactivate": [SELLER, "--reason", HOSTILE],
    "users reactivate": [SELLER, "--reason", "[/red]"],
    "users dismiss-staff": [SELLER, "--reason", "Left the team."],
    "users revoke-sessions": ["1", "--reason", "Lost a laptop."],
    "users reset-second-factor": ["guarded@example.com", "--reason", HOSTILE],
    "users export": [SELLER],
    "users delete": [SELLER, "--reason", "Asked for it.", "--yes"],
    "import online-retail": [SAMPLE],
    "import products": ["products.csv", "--seller", SELLER],
    "export products": ["--seller", SELLER],
    "export orders": [],
    "stock verify": [],
    "stock movements": ["1"],
    "stock until": ["1", "--time", "2030-01-31T18:00:00Z"],
    "promotions list": ["--limit", "5"],
    "promotions show": ["1"],
    "promotions end": ["1"],
    "reprice": ["--dry-run", "--seller", SELLER],
    "reprice rollback": ["1"],
    "events tail": ["--after", "0"],
    "torture": ["--quick"],
    "audit list": ["--operator", "--limit", "20"],
    "security events": ["--days", "2"],
    "security reencrypt": [],
    "webhooks verify": ["1"],
    "webhooks list": ["--account", SELLER],
    "webhooks enable": ["1"],
    "webhooks deliveries": ["--account", SELLER],
    "webhooks redeliver": ["1"],
    "simulate": ["linear", "--worlds", "2", "--epochs", "25"],
    "pricing evaluate": ["sales.csv"],
    "pricing explain": ["1"],
    "pricing runs": ["--limit", "5"],
    "pricing policies": [],
    "pricing stop": [],
    "pricing resume": [],
    "pricing approve": ["2", "--by", "boss@example.com"],
    "pricing decline": ["2", "--by", "boss@example.com", "--reason", HOSTILE],
    "pricing min-hold": ["1", "7"],
    "pricing withdraw-price": ["1", "10.00", "--reason", HOSTILE],
    "pricing experiment start": ["1", "--kind", "switchback", "--weeks", "52"],
    "pricing experiment show": ["1"],
    "pricing experiment list": ["--policy", "1"],
    "pricing experiment end": ["1"],
    "stock outlook": ["--seller", SELLER, "--within", "3650"],
    "statistics sales": ["--seller", SELLER, "--interval", "hour", "--from", "2026-01-01"],
    "statistics verify": [],
    "statistics rebuild": ["--seller", "1"],
}
"""Valid arguments of each command, for the shop below."""

AUDITED: Mapping[str, Sequence[AuditAction]] = {
    "createsuperuser": [AuditAction.ACCOUNT_STAFF_APPOINTED],
    "orders cancel": [AuditAction.ORDER_CANCELLED],
    "categories rename": [AuditAction.CATEGORY_RENAMED],
    "payments check": [AuditAction.PAYMENT_CHECKED],
    "payments send-refund": [AuditAction.REFUND_SENT],
    "emails send": [AuditAction.EMAIL_SENT],
    "users revoke-api-key": [AuditAction.API_KEY_REVOKED],
    "users deactivate": [AuditAction.ACCOUNT_DEACTIVATED],
    "users revoke-session": [AuditAction.ACCOUNT_SESSION_REVOKED],
    "users revoke-sessions": [AuditAction.ACCOUNT_SESSIONS_REVOKED],
    "users reset-second-factor": [AuditAction.ACCOUNT_SECOND_FACTOR_RESET],
    "users export": [AuditAction.ACCOUNT_EXPORTED],
    "users delete": [AuditAction.ACCOUNT_DELETED],
    "import products": [AuditAction.PRODUCT_CREATED],
    "stock until": [AuditAction.PRODUCT_EDITED],
    "promotions end": [AuditAction.PROMOTION_CANCELLED],
    "reprice rollback": [AuditAction.RUN_ROLLED_BACK],
    "webhooks verify": [AuditAction.WEBHOOK_VERIFIED],
    "pricing stop": [AuditAction.PRICING_STOPPED],
    "pricing approve": [AuditAction.RUN_APPROVED],
    "pricing decline": [AuditAction.RUN_DECLINED],
    "pricing min-hold": [AuditAction.CATEGORY_MIN_HOLD_SET],
    "pricing withdraw-price": [AuditAction.PRODUCT_PRICE_WITHDRAWN],
    "pricing experiment start": [AuditAction.EXPERIMENT_STARTED],
}
"""What the commands of `RIGHT` leave in the audit log. Others read, or change nothing of the shop below."""


@pytest.fixture
def shop(runtime: MemoryRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryRuntime:
    """A shop with data for every command, and with the most difficult names that users may choose."""
    sender = RecordingSender()
    market = runtime.market = in_memory_market(runtime.clock, sender=sender, orders_hot_time=timedelta(days=31))
    actions = MarketActions(market)
    seller, buyer = actions.person("seller"), actions.person("buyer")
    guarded = actions.person("guarded")
    who = market.sessions.identify(market.accounts.log_in(guarded.email, PASSWORD).access)
    market.second_factors.begin(guarded.id, PASSWORD)
    market.second_factors.confirm(who, CountingOneTimePasswords().code(runtime.clock.now().timestamp()))
    product_id = actions.list(seller, stock=20, name=HOSTILE, cost=usd("9.00"), sku="[/]")
    learn = {"name": HOSTILE, "parameters": {"caution": 0, "vary": False}, "guardrails": {"least_views": 0}}
    unwrap_single(market.pricing.create([CreatePolicy(seller.id, learn)]))
    starts_at, ends_at = (runtime.clock.now() + timedelta(days=days) for days in (100, 110))
    sale = CreatePromotion(seller.id, HOSTILE, ends_at, starts_at, percent=20, all_products=True)
    unwrap_single(market.promotions.create([sale]))
    endpoint = unwrap_single(market.webhooks.create([CreateEndpoint(seller.id, ADDRESS)])).endpoint.id
    sender.answer = lambda _message: WebhookAnswer(timedelta(milliseconds=7), status=410)
    unwrap_single(market.webhooks.ping([ActOnEndpoint(endpoint, seller.id)]))
    market.webhooks.deliver()
    runtime.clock.advance(days=28)
    pair = market.accounts.log_in(SELLER, PASSWORD, address="192.0.2.9", user_agent=HOSTILE)
    market.api_keys.create(market.sessions.identify(pair.access), HOSTILE, ["orders:read", "pricing"])
    actions.buy(buyer, line(product_id, 12))
    market.relay.assign_sequence()
    for policy in market.queries.policies(None, PageRequest()).rows:
        plan = {"kind": "switchback", "weeks": 52}
        experiment = unwrap_single(market.experiments.start([StartExperiment(policy.id, seller.id, plan)]))
        market.experiments.end([EndExperiment(experiment.id, seller.id)])
        market.repricing.run(policy.id)
    _begin_run_that_awaits_approval(actions)
    _wait_for_others(actions)
    actions.place(buyer, line(actions.list(actions.person("teamaker"))))
    monkeypatch.chdir(tmp_path)
    Path("products.csv").write_text(f"sku,name,category,price\nA,{HOSTILE},toys,1.00\n[/red],,nowhere,1.00\n")
    Path("sales.csv").write_text("product,period,units,price\n1,1,2,3.00\n")
    return runtime


def _begin_run_that_awaits_approval(actions: MarketActions) -> None:
    market = actions.market
    actions.person("boss", is_staff=True)
    owner = actions.person("owner")
    actions.list(owner, cost=usd("9.00"))
    rails = {"least_views": 0, "least_history_days": 0, "dead_band": 0, "cooldown_days": 0}
    policy = unwrap_single(market.pricing.create([CreatePolicy(owner.id, {"name": HOSTILE, "guardrails": rails})]))
    limits = ApprovalLimits(mean_basis_points=1)
    run = Repricing(market.store, market.clock, approval=limits).run(policy.id)
    assert (run.id, run.status) == (2, RunStatus.AWAITING_APPROVAL)


def entries(runtime: MemoryRuntime) -> Sequence[AuditEntry]:
    """The audit log, the newest first."""
    return [record.entry for record in runtime.market.queries.audit_entries(PageRequest(100)).rows]


def _wait_for_others(actions: MarketActions) -> None:
    """Add a payment, a refund and an e-mail that wait for their next try."""
    market = actions.market
    now = market.clock.now()
    order = actions.place(actions.person("waiting"), line(actions.list(actions.person("maker"))))
    begun: dict[str, Any] = {
        "order_id": order.id,
        "amount": usd("9.00"),
        "method": "card",
        "now": now - timedelta(days=1),
    }
    unknown, late = (
        Payment.opened(id=id_, timeout=timedelta(minutes=1), **begun) for id_ in (OPEN_PAYMENT, LATE_PAYMENT)
    )
    unknown.schedule_check(now, HOSTILE)
    late.record_late_charge(Charged("charge"), now)
    late.refunds[0].postpone(now, HOSTILE)
    email = OutgoingEmail(EmailId(1), EmailKind.PASSWORD_CHANGED, SELLER, None, now, now, trouble=HOSTILE)
    with market.store.begin() as tx:
        tx.payments.add([unknown, late])
        tx.emails.add([email])


def strict(text: str) -> Any:
    """Parse a JSON document, or one document per line."""
    try:
        return json.loads(text, parse_constant=pytest.fail)
    except ValueError:
        return [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]


def texts(document: Any) -> list[str]:
    if isinstance(document, dict):
        return [text for value in document.values() for text in texts(value)]
    if isinstance(document, list):
        return [text for value in document for text in texts(value)]
    return [document] if isinstance(document, str) else []


def test_all_commands_are_tested() -> None:
    assert set(ALL) == set(RIGHT) | WITHOUT_DATA


@pytest.mark.parametrize(
    "name", ["", "import", "export", "stock", "pricing", "promotions", "webhooks", "audit", "security", "users", *ALL]
)
def test_help_fits_into_80_columns_and_names_no_type_of_python(cli: Cli, name: str) -> None:
    ended = cli(*name.split(), "--help", width=WIDTH)
    assert ended.code == 0
    assert "…" not in ended.out
    assert not re.search(r"<\w+( range|\[\w+\])?>|<=x|x>=|%Y", ended.out), ended.out
    assert all(len(line.rstrip()) <= WIDTH for line in ended.out.splitlines())


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("name", RIGHT)
def test_commands_show_whole_values_in_80_columns(cli: Cli, name: str) -> None:
    ended = cli(*name.split(), *RIGHT[name], width=WIDTH, stdin="correct horse battery staple\n")
    assert ended.code in {0, 1}, ended
    if name not in FILES:
        assert "…" not in ended.out
    together = "".join(ended.out.split())
    if name in {"pricing policies", "promotions list", "promotions show", "reprice"}:
        assert "".join(HOSTILE.split()) in together
    if name == "webhooks list":
        assert ADDRESS in together


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("name", sorted(set(RIGHT) - FILES))
def test_json_is_strict_and_its_times_are_rfc_3339(cli: Cli, name: str) -> None:
    ended = cli(*name.split(), *RIGHT[name], "--json", stdin="correct horse battery staple\n")
    assert ended.code in {0, 1}, ended
    document = strict(ended.out)
    assert document != []
    for text in texts(document):
        if re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:", text):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text), text


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("name", sorted(FILES))
def test_files_of_json_lines_are_strict_too(cli: Cli, name: str) -> None:
    ended = cli(*name.split(), *RIGHT[name], "--format", "jsonl")
    assert [text for text in texts(strict(ended.out)) if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text)]


@pytest.mark.parametrize("name", ALL)
def test_an_unknown_option_is_wrong_usage(cli: Cli, name: str) -> None:
    ended = cli(*name.split(), "--nonsense")
    assert (ended.code, ended.out) == (2, "")
    assert "No such option: --nonsense" in ended.err


@pytest.mark.parametrize(
    ("name", "option"),
    [
        (name, parameter.opts[0])
        for name, command in ALL.items()
        for parameter in command.params
        if parameter.param_type_name == "option" and parameter.type_descriptor.annotation in {int, float}
    ],
)
def test_an_invalid_number_is_reported_with_its_option_and_value(cli: Cli, name: str, option: str) -> None:
    needed = {"pricing evaluate": ["sales.csv"], "pricing explain": ["1"], "promotions show": ["1"]}
    arguments = needed.get(name, [])
    ended = cli(*name.split(), *arguments, option, "many")
    assert ended.code == 2
    assert f"Invalid value for '{option}': 'many' is not a" in ended.err
    told = cli(*name.split(), *arguments, option, "many", "--json")
    if name not in WITHOUT_DATA:
        assert json.loads(told.err)["code"] == 2
        assert option in json.loads(told.err)["error"]


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    "name", [name for name, command in ALL.items() if "seller" in {p.name for p in command.params}]
)
def test_sellers_are_named_by_address_or_number_everywhere(cli: Cli, name: str) -> None:
    words = [*name.split(), *(["products.csv"] if name == "import products" else [])]
    by_address, by_number = cli(*words, "--seller", SELLER.upper()), cli(*words, "--seller", "1")
    assert by_address.code == by_number.code
    assert by_address.err == by_number.err == ""
    for nobody in ("nobody@example.com", "999"):
        unknown = cli(*words, "--seller", nobody)
        assert (unknown.code, unknown.out, unknown.err) == (1, "", f"There is no account {nobody}.\n")
    for odd in ("nobody", "0", "-1", "1.5", "9" * 30, "9" * 5_000, "\u0661"):
        wrong = cli(*words, "--seller", odd)
        assert (wrong.code, wrong.out) == (2, "")
        assert "neither an e-mail address nor an account number" in " ".join(wrong.err.split())


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("name", ["pricing explain 1", "pricing runs", "pricing policies"])
def test_the_old_name_of_an_option_works_with_a_warning(cli: Cli, name: str) -> None:
    new = cli(*name.split(), "--limit", "1")
    for old in (["--count", "1"], ["--count=1"]):
        ended = cli(*name.split(), *old)
        assert (ended.code, ended.out) == (0, new.out)
        assert ended.err == "Warning: --count is now --limit; the old name will be removed.\n"
    assert "--count" not in cli(*name.split(), "--help").out


@pytest.mark.parametrize("name", REPLACED_COMMANDS)
def test_commands_of_the_first_release_name_what_replaces_them(cli: Cli, name: str) -> None:
    ended = cli(name, "100")
    assert (ended.code, ended.out) == (2, "")
    replacement = re.search(r"Now: scalecommerce (\S+)", " ".join(ended.err.split()))
    assert replacement is not None
    command = command_tree()
    assert replacement.group(1) in command.commands
    assert name not in cli("--help").out
    assert json.loads(cli(name, "--json").err)["code"] == 2


def test_an_unknown_command_suggests_the_nearest(cli: Cli) -> None:
    assert "Did you mean 'webhooks'?" in cli("webhook").err
    assert "Did you mean 'rollback'?" in cli("reprice", "rollbak").err


def test_the_shell_completes_commands_and_options(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_SCALECOMMERCE_COMPLETE", "complete_bash")
    for words, completed in (
        ("scalecommerce se", ["serve", "seed", "settings", "security"]),
        ("scalecommerce seed --rng", None),
    ):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        said = cli().out.split()
        assert said == (["--rng-seed"] if completed is None else completed)


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("name", "work", "stands"),
    [
        ("seed", "scalecommerce_core.services.seeding.Seeding.users", "Completed batches stay and are"),
        (
            "import products products.csv --seller 1",
            "adapters.cli.importing.ProductImport.run",
            "Completed batches stay",
        ),
        (
            "import products products.csv --seller 1 --dry-run",
            "adapters.cli.importing.ProductImport.run",
            "Nothing was",
        ),
        ("export orders", "adapters.cli.exporting.export_orders", "The export is incomplete."),
        ("orders archive", "scalecommerce_core.services.archiving.Archiving.archive", "stay archived."),
        ("export orders --output x", "adapters.cli.exporting.export_orders", "No file was written."),
        ("reprice", "scalecommerce_core.services.repricing.Repricing.run", "Written prices stay."),
        ("reprice --dry-run", "scalecommerce_core.services.repricing.Repricing.preview", "A dry run changes nothing."),
        ("reprice rollback 1", "scalecommerce_core.services.repricing.Repricing.rollback", "Restored prices stay"),
        (
            "simulate linear",
            "scalecommerce_core.simulation.scenario.Scenario.run",
            "Results so far are shown",
        ),
        ("pricing evaluate sales.csv", "adapters.cli.panels.read_panel", "Nothing was changed."),
        ("statistics rebuild", "scalecommerce_core.services.statistics.Statistics.rebuild", "Statistics are unchanged"),
        ("stock verify --repair --yes", "adapters.cli.stock._repair", "Completed repairs stay"),
        ("webhooks redeliver --endpoint 1", "adapters.cli.webhooks._redeliver_range", "Deliveries queued so far"),
    ],
)
def test_ctrl_c_exits_with_130_and_reports_what_stays(  # noqa: PLR0917
    cli: Cli, runtime: MemoryRuntime, monkeypatch: pytest.MonkeyPatch, name: str, work: str, stands: str
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    if "--repair" in name:
        with runtime.market.store.begin() as tx:
            stock = tx.stock.lock([ProductId(1)])[ProductId(1)]
            stock.reserved += 1
            tx.stock.save([stock])
    monkeypatch.setattr(work, interrupted)
    ended = cli(*name.split())
    assert ended.code == 130
    assert ended.err.startswith("Interrupted. ")
    assert stands in ended.err
    told = json.loads(cli(*name.split(), "--json").err) if not name.startswith("export") else {"code": 130}
    assert told["code"] == 130


@pytest.mark.parametrize("name", RIGHT)
def test_what_operators_change_is_in_the_audit_log(cli: Cli, shop: MemoryRuntime, name: str) -> None:
    before = entries(shop)
    cli(*name.split(), *RIGHT[name], stdin="correct horse battery staple\n")
    new = entries(shop)[: -len(before)]
    assert [entry.action for entry in new] == list(AUDITED.get(name, []))
    for entry in new:
        # A run is reviewed in the name of a member of staff.
        assert (entry.actor_id is None) == (name not in {"pricing approve", "pricing decline"})
