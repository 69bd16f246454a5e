"""Who may open the console: where it listens, which pages may talk to it, the token, and how much each may say."""

from __future__ import annotations

import hmac
import ipaddress
import socket
import time
from typing import Callable, FrozenSet, Iterable, Optional, Tuple
from urllib.parse import urlsplit

from clue_ros.types import ClueError

MIN_TOKEN = 16  # characters; a shorter one could be guessed over a network


class AccessError(ClueError):
    """The console may not be opened to the network like this; the text says what to do."""


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches what listens on this address."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


def check_bind(address: str, token: str, allow_open: bool) -> None:
    """Raises AccessError for an address that others reach, without a token that keeps them out."""
    if token and len(token) < MIN_TOKEN:
        raise AccessError(
            f"the token has {len(token)} characters: give {MIN_TOKEN} or more, such as the output of: openssl "
            "rand -hex 16"
        )
    if token and not (token.isascii() and token.replace("-", "").replace("_", "").isalnum()):
        raise AccessError("the token stands in an address: use letters, digits, - and _ only")
    if not token and not allow_open and not is_loopback(address):
        raise AccessError(
            f"{address} is reached from other machines, and whoever reaches the console can send the robot goals: set"
            " `token` (openssl rand -hex 16), or `allow_open` to true if everybody on that network may"
        )


class Access:
    """The rules for one server.

    allowed_hosts: names beside localhost, this machine's own and every IP address under which the page may be opened. A
    foreign name that points here (DNS rebinding) is refused, whatever a browser says its origin is.
    """

    def __init__(self, token: str = "", allowed_hosts: Iterable[str] = ()) -> None:
        self._token = token.encode()
        own = socket.gethostname().lower()
        names = {"localhost", own, f"{own.split('.')[0]}.local"}
        self._names: FrozenSet[str] = frozenset(names | {name.lower() for name in allowed_hosts if name})

    def host_is_ours(self, host: str) -> bool:
        """host: of the request's header, with or without a port."""
        name = _name_of(host)
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True  # no DNS, no rebinding

    def same_origin(self, origin: Optional[str], host: str) -> bool:
        """Whether a page of this server opened the socket: a browser says so, and a page cannot change it."""
        if origin is None or not _is_plain(origin):
            return False
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower() and self.host_is_ours(host)

    def knows(self, token: Optional[str]) -> bool:
        """Compared in constant time."""
        return not self._token or hmac.compare_digest(self._token, (token or "").encode("utf-8", "replace"))


class Allowance:
    """So many things a second, and a burst of as many; for one thread."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = per_second, clock
        self._left, self._at = per_second, clock()

    def take(self) -> bool:
        """Whether there is one left."""
        now = self._clock()
        self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def _name_of(host: str) -> str:
    """The name of "NAME:PORT", lower case; empty for what is no such thing."""
    if not _is_plain(host):
        return ""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # half an IPv6 address
        return ""


def _is_plain(text: str) -> bool:
    return len(text) <= 300 and text.isascii() and text.isprintable() and not set(text) & set("@\\ ")


def local_address(address: str, port: int) -> Tuple[str, int]:
    """Where a browser on this machine finds what listens there."""
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
    name = anywhere.get(address, f"[{address}]" if ":" in address and not address.startswith("[") else address)
    return name, port
