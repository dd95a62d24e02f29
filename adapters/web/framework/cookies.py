"""Cookies of the pages: their names, attributes and lifetimes."""

from ipaddress import ip_address
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

YEAR: Final = 365 * 24 * 3600
"""Seconds."""


def is_loopback(request: Request) -> bool:
    """Whether the browser names this machine, so that cookies need no https."""
    host = request.url.hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class Cookie:
    """A cookie that scripts cannot read and that other sites cannot make a browser send.

    Its name has the prefix `__Host-` and it is sent over https only, except on loopback over http.
    """

    def __init__(self, name: str, max_age: int | None = None) -> None:
        """`max_age`: seconds; None: the cookie ends with the browser."""
        self._name = name
        self._max_age = max_age

    def read(self, request: Request) -> str | None:
        return request.cookies.get(self._full_name(request))

    def write(self, request: Request, response: Response, value: str) -> None:
        response.set_cookie(
            self._full_name(request),
            value,
            max_age=self._max_age,
            path="/",
            secure=not _allows_http(request),
            httponly=True,
            samesite="strict",
        )

    def delete(self, request: Request, response: Response) -> None:
        response.delete_cookie(
            self._full_name(request), path="/", secure=not _allows_http(request), httponly=True, samesite="strict"
        )

    def _full_name(self, request: Request) -> str:
        return self._name if _allows_http(request) else f"__Host-{self._name}"


def _allows_http(request: Request) -> bool:
    return request.url.scheme == "http" and is_loopback(request)


SESSION: Final = Cookie("session", max_age=90 * 24 * 3600)
"""Continues a browser session (`Sessions.continue_by_cookie`)."""
DEVICE: Final = Cookie("device", max_age=YEAR)
"""The device token of the last log-in, so that failures of strangers do not affect this browser."""
VISITOR: Final = Cookie("visitor")
"""A random value of a browser that is not logged in; form tokens are derived from it."""
LANGUAGE: Final = Cookie("language", max_age=YEAR)
THEME: Final = Cookie("theme", max_age=YEAR)
FLASH: Final = Cookie("flash", max_age=60)
"""A message for the next page."""
