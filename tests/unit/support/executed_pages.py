"""Runs the commands of a documentation page against an engine in memory, and returns what they print.

A page has blocks of commands (```sh), each followed by its output (```text) if it prints something worth showing.
`scalecommerce` runs as on a terminal of `WIDTH` columns, `curl` calls the API in process, and an HTML comment such as
`<!-- 2 weeks later -->` lets that time pass: visitors see all products and buy, and policies that are due run.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from math import exp
from typing import Final

import numpy as np
from attrs import define, field, frozen

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.product_views import ViewBatch
from scalecommerce_core.pricing.runs import Trigger
from scalecommerce_core.queries import ProductView
from scalecommerce_core.testing import CountingIds
from tests.unit.support.http_marketplace import Marketplace, Visitor
from tests.unit.support.shop import MarketActions, line

WIDTH: Final = 110
_PART: Final = re.compile(
    r"^```sh\n(?P<commands>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?|^<!-- (?P<weeks>\d+) weeks? later -->$",
    re.DOTALL | re.MULTILINE,
)
_ELASTICITY: Final = -2.3
_VIEWS_A_WEEK: Final = 150
_CONVERSION: Final = 0.06


@frozen
class Ran:
    """A block of commands: the output on the page (None if it shows none), and the output now."""

    commands: str
    shown: str | None
    printed: str


@define
class PageRunner:
    """`command_line` runs a `scalecommerce` command and returns its standard output."""

    marketplace: Marketplace
    command_line: Callable[..., str]
    _usual: dict[int, float] = field(factory=dict)
    _token: str | None = None
    _log_in: Sequence[str] = ()
    _variables: dict[str, str] = field(factory=dict)
    _buyer: Account | None = None
    _ids: CountingIds = field(factory=CountingIds)
    _rng: np.random.Generator = field(factory=lambda: np.random.default_rng(1))

    def run(self, page: str) -> Iterator[Ran]:
        for part in _PART.finditer(page):
            if part["weeks"] is not None:
                for _ in range(int(part["weeks"])):
                    self._pass_a_week()
                continue
            lines = part["commands"].replace("\\\n", " ").splitlines()
            yield Ran(part["commands"], part["output"], "".join(map(self._execute, lines)))

    def _execute(self, text: str) -> str:
        words = shlex.split(text, comments=True)
        match words:
            case ["scalecommerce", "up", *_] | []:
                return ""
            case ["scalecommerce", *arguments]:
                return self.command_line(*arguments)
            case ["curl", *arguments]:
                return self._call(arguments)
        if words == ["log_in"]:
            self._token = None
            self._token = json.loads(self._answer(self._log_in))["access"]
            return ""
        if found := re.fullmatch(r"log_in\(\) \{ SELLER=\$\(curl (.*?) \| \w+\); \}", text):
            self._log_in = shlex.split(found[1])
            return ""
        if found := re.fullmatch(r"([A-Z]+)=(\S+|'.*')", text):
            self._variables[found[1]] = found[2].strip("'")
            return ""
        if re.match(r"\w+\(\) \{ python3 ", text):
            return ""
        raise AssertionError(f"The page has a command that cannot be run: {text}")

    def _call(self, arguments: Sequence[str]) -> str:
        answer = self._answer(arguments)
        return "" if "/dev/null" in arguments else f"{answer}\n"

    def _answer(self, arguments: Sequence[str]) -> str:
        url = next(each for each in arguments if each.startswith("$S/"))
        method = arguments[arguments.index("-X") + 1] if "-X" in arguments else None
        body = arguments[arguments.index("-d") + 1] if "-d" in arguments else None
        document = None if body is None else json.loads(self._variables.get(body.removeprefix("$"), body))
        caller = Visitor(self.marketplace.client, self._token)
        response = caller.send(method or ("GET" if body is None else "POST"), url.removeprefix("$S"), json=document)
        assert response.status_code < 300, response.text
        return response.text

    def _pass_a_week(self) -> None:
        market, clock = self.marketplace.market, self.marketplace.clock
        actions = MarketActions(market, ids=self._ids)
        if self._buyer is None:
            self._buyer = actions.person("omar")
        for day in range(7):
            clock.advance(days=1)
            products = list(market.queries.iter_products())
            at = clock.now().replace(second=0, microsecond=0)
            counts = {(product.id, at): _VIEWS_A_WEEK // 7 for product in products}
            market.catalog.record_views(ViewBatch(f"{at}", counts))
            for product in products:
                for _ in range(self._purchases(product)):
                    actions.buy(self._buyer, line(product.id))
            market.relay.assign_sequence()
            market.statistics.catch_up()
            if day == 6:
                for policy_id in market.repricing.due():
                    market.repricing.finish(market.repricing.begin(policy_id, trigger=Trigger.SCHEDULE).id)

    def _purchases(self, product: ProductView) -> int:
        usual = self._usual.setdefault(product.id, float(product.price.amount))
        expected = _VIEWS_A_WEEK / 7 * _CONVERSION * exp(_ELASTICITY * (float(product.price.amount) / usual - 1))
        return int(self._rng.poisson(expected))
