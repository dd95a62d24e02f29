"""What `up` says when it is ready."""

import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from attrs import field, frozen

from entrypoints.demo.traffic.demo_products import DEMO_PRODUCTS, EPOCH_SECONDS
from entrypoints.demo.traffic.plan import TrafficPlan
from entrypoints.processes.data_directory import DEFAULT
from scalecommerce_core.domain.money import decimal_text

NAME: Final = "scalecommerce"
NO_DEMO_MARKET: Final = "The database holds data of its own, so no demo market was made in it."
NO_VISITORS: Final = "The database holds accounts beside the demo's, so no visitors were let in."


@frozen
class Demo:
    """Whom to log in as, and a product to order. `token` is the buyer's; all three log in with `password`.

    `plan` is what visitors would do; None: nobody may visit, because the database is not the demo's alone.
    """

    buyer: str
    seller: str
    staff: str
    password: str = field(repr=False)
    token: str = field(repr=False)
    product: int
    currency: str
    plan: TrafficPlan | None = None


def ready_line(url: str, data: Path, seconds: float) -> str:
    return f"Ready after {seconds:.1f} s: {url}/ (API to browse: {url}/docs; data: {data}). Ctrl-C stops everything."


def order_instructions(demo: Demo, url: str) -> str:
    return f"""
Log in as      e-mail address                                    password
  a buyer      {demo.buyer:<50}{demo.password}
  a seller     {demo.seller:<50}{demo.password}
  staff        {demo.staff:<50}{demo.password}

Place an order as the buyer, and see its verdict:

TOKEN={demo.token}
curl -s {url}/orders/api/v1/ \\
  -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -H 'Prefer: wait=5' \\
  -d '{{"order_item": [{{"product": {demo.product}, "quantity": 1}}]}}'
"""


def command(*words: str, data: Path) -> str:
    """What to type in another terminal of this directory; after `make run`, the program is on no PATH."""
    program = sys.argv[0]
    is_known = Path(program).name != NAME or shutil.which(NAME) == program
    told = [] if data == DEFAULT else ["--data", str(data)]
    return shlex.join([NAME if is_known else program, *words, *told])


def pricing_instructions(plan: TrafficPlan, url: str, data: Path, currency: str) -> str:
    """How the prices of the visitors' products can be seen to move."""
    lines = [
        f"  {plan.products[product.key]:<8} {product.name:<16}{decimal_text(product.start_price, currency):>8}"
        f"{decimal_text(product.demand.best_price, currency):>10}   {product.mispricing}"
        for product in DEMO_PRODUCTS
    ]
    first = plan.products[DEMO_PRODUCTS[0].key]
    return "\n".join(
        [
            f"Visitors buy by a known demand; a policy that has to learn it sets prices every {EPOCH_SECONDS} s:",
            "",
            "  product  name            listed at  best     and so it is",
            *lines,
            "",
            "What its price was, and why, from another terminal of this directory (--no-traffic keeps visitors out):",
            "",
            f"curl -s {url}/products/api/v1/{first}/price-history/",
            command("pricing", "explain", str(first), data=data),
            "",
        ]
    )


def exposure_warning(host: str) -> str:
    return f"Everybody who reaches {host} can log in with the demo's passwords, as staff too."
