"""The text that `up` prints when the engine is ready."""

import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from attrs import field, frozen

from adapters.web.framework.demo import DemoMarket, DemoProduct
from entrypoints.demo.traffic.demo_products import DEMO_PRODUCTS, EPOCH_SECONDS
from entrypoints.demo.traffic.plan import TrafficPlan
from entrypoints.processes.data_directory import DEFAULT
from scalecommerce_core.domain.money import decimal_text

NAME: Final = "scalecommerce"
NO_DEMO_MARKET: Final = "The database contains other data, so no demo market was created."
NO_VISITORS: Final = "The database contains accounts besides the demo's, so the simulated visitors are off."


@frozen
class Demo:
    """The accounts of a demo market and a product to order. `token` is an access token of the buyer; empty if a log-in
    with the demo's password is refused.

    The accounts have the same `password`, except those in `changed`. `plan` is the plan of the simulated visitors; None
    if the database contains other accounts.
    """

    buyer: str
    seller: str
    staff: str
    password: str = field(repr=False)
    token: str = field(repr=False)
    product: int
    currency: str
    plan: TrafficPlan | None = None
    changed: frozenset[str] = frozenset()
    """E-mail addresses of accounts with another password."""

    def to_pages(self) -> DemoMarket:
        """What the start page offers: log-ins with the demo's password, and the products whose prices move."""
        accounts = {"buyer": self.buyer, "seller": self.seller, "staff": self.staff}
        return DemoMarket(
            {role: email for role, email in accounts.items() if email not in self.changed},
            self.password,
            [
                DemoProduct(
                    self.plan.products[each.key],
                    each.name,
                    decimal_text(each.start_price, self.currency),
                    decimal_text(each.demand.best_price, self.currency),
                )
                for each in DEMO_PRODUCTS
            ]
            if self.plan is not None
            else [],
        )


def ready_line(url: str, data: Path, seconds: float) -> str:
    return f"Ready after {seconds:.1f} s: {url}/ (API to browse: {url}/docs; data: {data}). Ctrl-C stops everything."


def order_instructions(demo: Demo, url: str) -> str:
    def password(email: str) -> str:
        return "(changed)" if email in demo.changed else demo.password

    accounts = f"""
Log in as      e-mail address                                    password
  a buyer      {demo.buyer:<50}{password(demo.buyer)}
  a seller     {demo.seller:<50}{password(demo.seller)}
  staff        {demo.staff:<50}{password(demo.staff)}
"""
    if not demo.token:
        return accounts
    return f"""{accounts}
Place an order as the buyer and wait for its decision:

TOKEN={demo.token}
curl -s {url}/orders/api/v1/ \\
  -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -H 'Prefer: wait=5' \\
  -d '{{"order_item": [{{"product": {demo.product}, "quantity": 1}}]}}'
"""


def email_line(worker_log: Path) -> str:
    """Return where the e-mails of a demo are, which are written to a log instead of being sent."""
    return f"E-mails, with their tokens: {worker_log}"


def command(*words: str, data: Path) -> str:
    """Return the command line for another terminal in this directory; after `make run` the program is not on PATH."""
    program = sys.argv[0]
    is_known = Path(program).name != NAME or shutil.which(NAME) == program
    options = [] if data == DEFAULT else ["--data", str(data)]
    return shlex.join([NAME if is_known else program, *words, *options])


def pricing_instructions(plan: TrafficPlan, url: str, data: Path, currency: str) -> str:
    """Return instructions for watching the prices of the demo products."""
    lines = [
        f"  {plan.products[product.key]:<8} {product.name:<16}{decimal_text(product.start_price, currency):>8}"
        f"{decimal_text(product.demand.best_price, currency):>10}   {product.mispricing}"
        for product in DEMO_PRODUCTS
    ]
    first = plan.products[DEMO_PRODUCTS[0].key]
    return "\n".join(
        [
            f"Simulated visitors buy by a known demand; a policy that learns it sets prices every {EPOCH_SECONDS} s:",
            "",
            "  product  name            listed at  best     listed price",
            *lines,
            "",
            "Price history and reasons, from another terminal in this directory (--no-traffic: no visitors):",
            "",
            f"curl -s {url}/products/api/v1/{first}/price-history/",
            command("pricing", "explain", str(first), data=data),
            "",
        ]
    )


def exposure_warning(host: str) -> str:
    return f"Everyone who can connect to {host} can log in with the demo's passwords, also as staff."
