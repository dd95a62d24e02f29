"""What `up` says when it is ready."""

import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from attrs import field, frozen

from entrypoints.demo.traffic.demo_products import EPOCH_SECONDS, WARES
from entrypoints.demo.traffic.plan import Plan
from entrypoints.processes.data_directory import DEFAULT
from scalecommerce_core.domain.money import decimal_text

NAME: Final = "scalecommerce"
NOT_EMPTY: Final = "The database holds data of its own, so no demo market was made in it."
NOT_ALONE: Final = "The database holds accounts beside the demo's, so no visitors were let in."


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
    plan: Plan | None = None


def ready(url: str, data: Path, seconds: float) -> str:
    return f"Ready after {seconds:.1f} s: {url}/ (API to browse: {url}/docs; data: {data}). Ctrl-C stops everything."


def how_to_play(demo: Demo, url: str) -> str:
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


def what_to_watch(plan: Plan, url: str, data: Path, currency: str) -> str:
    """How the prices of the visitors' wares can be seen to move."""
    lines = [
        f"  {plan.products[ware.key]:<8} {ware.name:<16}{decimal_text(ware.start, currency):>8}"
        f"{decimal_text(ware.demand.best_price, currency):>10}   {ware.story}"
        for ware in WARES
    ]
    first = plan.products[WARES[0].key]
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


def exposed(host: str) -> str:
    return f"Everybody who reaches {host} can log in with the demo's passwords, as staff too."
