"""`Proxy`: which proxies are believed, and the name of the reader that they put into a header."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import shorten
from unshaken.serve.forms import checked_name

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
PEER = "unshaken.peer"
"""Where a request's scope has the address that the connection comes from, whatever headers say."""
ON_THIS_MACHINE = "127.0.0.1"
"""The proxy whose word on the client's address and the scheme is taken where none is named."""
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_OF_BROWSERS = re.compile(r"(?:sec|accept|content|if|x-forwarded-(?:for|proto|host|port))(?:-.*)?", re.IGNORECASE)
_OF_CLIENTS = frozenset(
    {
        "authorization", "connection", "cookie", "date", "expect", "forwarded", "from", "host", "origin", "range",
        "referer", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "via",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proxy:
    """Proxies in front of the server. Use `Proxy.parse`.

    Args:
        networks: their addresses.
        user_header: header in which they name the reader; empty for none.
    """

    networks: tuple[Network, ...]
    user_header: str = ""

    @classmethod
    def parse(cls, addresses: Sequence[str], user_header: str | None = None) -> Self | None:
        """The proxies that options name; None where they name none.

        Args:
            addresses: of `--trusted-proxy`: addresses, or networks such as `10.0.0.0/24`.
            user_header: of `--user-header`; None for none.

        Raises:
            ParameterError: an address is none, the header is one that others send, too, or it has no proxy.
        """
        networks = tuple(_network(text) for text in addresses)
        if user_header is None:
            return cls(networks) if networks else None
        is_name = _HEADER.fullmatch(user_header) is not None
        if not is_name or _OF_BROWSERS.fullmatch(user_header) or user_header.lower() in _OF_CLIENTS:
            raise ParameterError(
                f"--user-header {shorten(user_header)} is no header that only a proxy sets: name one such as "
                "X-Forwarded-User"
            )
        if not networks:
            raise ParameterError(
                f"--user-header {user_header} could be sent by anybody: name the address of the proxy that sets it by "
                "--trusted-proxy ADDRESS"
            )
        return cls(networks, user_header)

    def is_trusted(self, address: str) -> bool:
        """Whether a connection from this address is one of a proxy's."""
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self.networks)

    def reader_of(self, request: Request) -> str | None:
        """The name of the reader that a proxy says; None where the request comes from elsewhere, or says none.

        Raises:
            HTTPException: 403, the header comes several times, or holds no name of a reader.
        """
        if not self.user_header or not self.is_trusted(request.scope.get(PEER, "")):
            return None
        values = request.headers.getlist(self.user_header)
        if not values:
            return None
        if len(values) > 1:
            raise HTTPException(403, f"The proxy sent the header {self.user_header} {len(values)} times.")
        try:
            return checked_name(values[0].encode("latin-1").decode(), "reader")
        except UnicodeDecodeError:
            raise HTTPException(403, f"The header {self.user_header} of the proxy is not in UTF-8.") from None
        except ParameterError as error:
            raise HTTPException(403, f"The header {self.user_header} of the proxy: {error}.") from None


class ProxyHeaders:
    """Note where a connection comes from; then take the client's address and the scheme from a proxy's headers.

    Args:
        app: the application behind it.
        proxy: who is believed; None for a proxy on this machine, or those in the variable `FORWARDED_ALLOW_IPS`.
    """

    def __init__(self, app: ASGIApp, *, proxy: Proxy | None = None) -> None:
        trusted: list[str] | str = os.environ.get("FORWARDED_ALLOW_IPS", ON_THIS_MACHINE)
        if proxy is not None:
            trusted = [str(network) for network in proxy.networks]
        self._app = ProxyHeadersMiddleware(app, trusted)  # type: ignore[arg-type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        client = scope.get("client")
        if client is not None:
            scope["client"] = (_plain(client[0]), client[1])
            scope[PEER] = scope["client"][0]
        await self._app(scope, receive, send)  # type: ignore[arg-type]


def _network(text: str) -> Network:
    try:
        found = ipaddress.ip_network(text.strip())
    except ValueError:
        raise ParameterError(
            f"--trusted-proxy {shorten(text)} is no address: write one such as 10.0.0.5, or a network such as "
            "10.0.0.0/24"
        ) from None
    if found.prefixlen == 0:
        raise ParameterError(f"--trusted-proxy {text} is every address there is: name that of the proxy")
    return found


def _plain(address: str) -> str:
    """An address; one of IPv4 that a socket of IPv6 received, as IPv4 writes it.

    >>> _plain("::ffff:10.0.0.5"), _plain("10.0.0.5"), _plain("testclient")
    ('10.0.0.5', '10.0.0.5', 'testclient')
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    inner = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(inner) if inner is not None else address
