"""`serve`: run an application until Ctrl-C."""

from __future__ import annotations

import ipaddress
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from unshaken.core.errors import ParameterError

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

HEADER_SECONDS = 10.0
"""Time that the headers of a request may take."""
MOST_AN_ADDRESS = 128
"""Connections that one address may hold, a proxy's included; at most half of all that the process may hold."""
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


def serve(
    app: FastAPI, *, host: str, port: int, ready: Callable[[str], None],
    header_seconds: float = HEADER_SECONDS, most_an_address: int = MOST_AN_ADDRESS,
) -> None:  # fmt: skip
    """Serve an application until Ctrl-C, SIGTERM or the end of its terminal; requests in work are answered first.

    Args:
        app: to serve.
        host: address to listen at.
        port: to listen at; 0 for any that is free.
        ready: called with the address to open, once requests are answered.
        header_seconds: time that the headers of a request may take; the connection is closed then.
        most_an_address: connections that one address may hold at a time.

    Raises:
        ParameterError: nothing can listen there.
    """
    import uvicorn

    from unshaken.serve.connections import limit_connections, most_connections

    listening = _listen(host, port)
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{listening.getsockname()[1]}/"
    # The application itself reads the headers of a proxy, once it has noted where the connection comes from.
    most = most_connections()
    limited = limit_connections(
        header_seconds=header_seconds, most_an_address=min(most_an_address, most // 2), most=most
    )
    config = uvicorn.Config(
        app, http=limited, log_level="warning", access_log=False, server_header=False, proxy_headers=False,
        backlog=max(1, min(64, most // 4)),  # taken at a time: each has a file descriptor before it can be refused
    )  # fmt: skip
    server = uvicorn.Server(config)
    app.state.is_ending = lambda: server.should_exit  # a stream of events ends then: the server waits for it
    with listening:
        ready(address)  # the socket listens already: a browser that opens now waits for the first answer
        with _ended_by_signals(server):
            server.run(sockets=[listening])


@contextmanager
def _ended_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a server as Ctrl-C does, so that what was opened around it is closed.

    uvicorn ends by itself at SIGINT and SIGTERM, and then sends itself the signal again: by default that is the end of
    the process, whatever it has still to do.
    """
    before = {}

    def end(number: int, frame: object) -> None:
        server.should_exit = True

    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP; nohup has it ignored
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, end)
    try:
        yield
    except KeyboardInterrupt:
        return
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
