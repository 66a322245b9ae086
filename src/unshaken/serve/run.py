"""`serve`: run an application until Ctrl-C."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from unshaken.core.errors import ParameterError

if TYPE_CHECKING:
    from fastapi import FastAPI

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names by which a browser on this machine calls a server on the loopback address."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server at an address.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(app: FastAPI, *, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve an application until it is interrupted.

    Args:
        app: to serve.
        host: address to listen at.
        port: to listen at; 0 for any that is free.
        ready: called with the address to open, once requests are answered.

    Raises:
        ParameterError: nothing can listen there.
    """
    import uvicorn

    listening = _listen(host, port)
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{listening.getsockname()[1]}/"
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, server_header=False))
    with listening:
        ready(address)  # the socket listens already: a browser that opens now waits for the first answer
        try:
            server.run(sockets=[listening])
        except KeyboardInterrupt:  # uvicorn raises it again, once the requests in work are answered
            return


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen()
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise ParameterError(
            f"cannot listen at {host} port {port}: {error.strerror or error}; choose another with --port or --host"
        ) from None
    return listening
