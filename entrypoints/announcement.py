"""What `up` says when it is ready."""

from pathlib import Path
from typing import Final

from attrs import frozen

NOT_EMPTY: Final = "The database holds data of its own, so no demo market was made in it."


@frozen
class Demo:
    """Whom to log in as, and a product to order. `token` is the buyer's; all three log in with `password`."""

    buyer: str
    seller: str
    staff: str
    password: str
    token: str
    product: int


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


def exposed(host: str) -> str:
    return f"Everybody who reaches {host} can log in with the demo's passwords, as staff too."
