"""The market of a demo: accounts that anybody on this machine may log in as, and products whose prices move."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Self

import msgspec
from attrs import field, frozen
from starlette.requests import Request

from adapters.web.framework import cookies
from adapters.web.framework.origins import has_own_origin


class DemoProduct(msgspec.Struct, frozen=True):
    """Amounts are decimal texts. `best` is the price with the highest expected profit, known in a demo, which simulates
    buyers.
    """

    id: int
    name: str
    listed: str
    best: str


@frozen
class DemoMarket:
    """`accounts` has the e-mail address of each role; all have the same `password`, which everybody knows."""

    accounts: Mapping[str, str]
    password: str = field(repr=False)
    products: Sequence[DemoProduct] = ()

    def to_text(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Raise `ValueError` for a text that `to_text` did not write."""
        return msgspec.json.decode(text, type=cls)


def is_on_this_machine(request: Request) -> bool:
    """Whether a request comes from this machine, names it as its host, and no page of another origin sent it.

    The client alone does not decide: a page of another site may reach this machine through a browser here, under a
    name of its own (DNS rebinding). A reverse proxy here may replace the host by that of the engine, but it leaves the
    origin as the browser sent it.
    """
    if not has_own_origin(request):
        return False
    host = request.client.host if request.client else ""
    try:
        return ip_address(host).is_loopback and cookies.is_loopback(request)
    except ValueError:
        return False
