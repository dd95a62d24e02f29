"""The Host header: its syntax, and the hosts that the engine answers for."""

import re
from collections.abc import Sequence
from typing import Final

from adapters.http.framework.problems import Problem, misdirected_request

_HOST: Final = re.compile(rb"(?P<name>[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_ENTRY: Final = re.compile(r"(?:\*\.)?(?:[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_MAX_CACHED: Final = 1024
"""Hosts whose check is cached. Clients choose hosts, so the number must be bounded."""


class Hosts:
    """The hosts for which requests are answered; without any, those of every valid host are.

    An entry is a name or an address, with a port if only that port counts. `*.shop.example` allows all subdomains of
    shop.example, but not shop.example. Raise `ValueError` for anything else.
    """

    def __init__(self, entries: Sequence[str] = ()) -> None:
        for entry in entries:
            if not _ENTRY.fullmatch(entry):
                raise ValueError(f"{entry!r} is not a host such as shop.example, shop.example:8443 or *.shop.example")
        lower = [entry.lower().encode() for entry in entries]
        self._exact = frozenset(entry for entry in lower if not entry.startswith(b"*."))
        self._suffixes = tuple(entry.removeprefix(b"*") for entry in lower if entry.startswith(b"*."))
        self.accepted: set[bytes] = set()
        """Headers that were accepted lately."""

    def __bool__(self) -> bool:
        """Whether the hosts are limited."""
        return bool(self._exact or self._suffixes)

    def is_accepted(self, host: bytes | None) -> bool:
        """Whether requests for this Host header are answered."""
        return host in self.accepted or self.find_problem(host, 1, is_health_check=False) is None

    def find_problem(self, host: bytes | None, count: int, *, is_health_check: bool) -> Problem | None:
        """The problem with the Host header of a request; `count` is the number of such headers.

        A missing, duplicate or malformed header is a 400 (RFC 9112, section 3.2), another host a 421 (RFC 9110,
        section 15.5.20). Health checks need no Host header and may name any host, since load balancers use addresses.
        """
        if host in self.accepted and count == 1:
            return None
        if not host:
            return None if is_health_check and count <= 1 else Problem(400, "The Host header is missing.", code=_CODE)
        if count > 1:
            return Problem(400, "There is more than one Host header.", code=_CODE)
        match = _HOST.fullmatch(host)
        if match is None:
            return Problem(400, "The Host header is malformed.", code=_CODE)
        if is_health_check:
            return None
        if self and not self._is_listed(host.lower(), match["name"].lower()):
            return misdirected_request()
        if len(self.accepted) >= _MAX_CACHED:
            self.accepted.clear()
        self.accepted.add(host)
        return None

    def _is_listed(self, host: bytes, name: bytes) -> bool:
        return (
            host in self._exact or name in self._exact or host.endswith(self._suffixes) or name.endswith(self._suffixes)
        )


_CODE: Final = "malformed"
ANY_HOST: Final = Hosts()
