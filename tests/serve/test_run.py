"""Serving until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from starlette.exceptions import HTTPException

from tests.loops import run_apart
from tests.processes import process
from unshaken.core.errors import ParameterError
from unshaken.serve import connections, guard
from unshaken.serve.connections import most_connections
from unshaken.serve.request_log import log_to
from unshaken.serve.run import serve


def _serve(path: Path, told: str, limits: Mapping[str, float] = MappingProxyType({})) -> None:
    """Serve a page in a process of its own, and write its address and how it ended into files."""
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    for number in (signal.SIGTERM, signal.SIGHUP):  # whoever started the tests may have them ignored, as nohup does
        signal.signal(number, signal.SIG_DFL)
    app = FastAPI()
    app.add_api_route("/", lambda: PlainTextResponse("here"))
    ready = lambda address: os.rename(_written(path, address), path / told)  # noqa: E731
    serve(app, host="127.0.0.1", port=0, ready=ready, **limits)
    (path / "ended").write_text("well")


def _written(path: Path, text: str) -> Path:
    (path / "new").write_text(text)
    return path / "new"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_application_is_served_until_it_is_ended_and_what_follows_is_done(tmp_path, number):
    with process(_serve, tmp_path, "address") as child:
        while not (tmp_path / "address").exists():
            child.join(0.02)
            assert child.is_alive()
        with urllib.request.urlopen((tmp_path / "address").read_text()) as answer:
            assert answer.read() == b"here"
        os.kill(child.pid, number)
        child.join(20)
        assert child.exitcode == 0
    assert (tmp_path / "ended").read_text() == "well"


LIMITS = {"header_seconds": 0.5, "most_an_address": 8}


@pytest.fixture
def address(tmp_path):
    """Host and port of a server whose limits are small."""
    with process(_serve, tmp_path, "address", LIMITS) as child:
        while not (tmp_path / "address").exists():
            child.join(0.02)
            assert child.is_alive()
        host, port = (tmp_path / "address").read_text().removeprefix("http://").rstrip("/").split(":")
        yield host, int(port)


def _is_closed(connection: socket.socket) -> bool:
    """Whether the server closes a connection within some seconds."""
    connection.settimeout(20)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("first", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_a_request_whose_headers_do_not_end_is_closed(address, first):
    with socket.create_connection(address) as slow:
        slow.sendall(first)
        assert _is_closed(slow)


def test_headers_that_come_byte_by_byte_and_those_after_another_request_are_closed_too(address):
    with socket.create_connection(address) as kept, socket.create_connection(address) as slow:
        kept.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while b"here" not in kept.recv(4096):
            pass
        kept.sendall(b"GET / HTTP/1.1\r\nHo")
        with contextlib.suppress(OSError):  # once it is closed
            for _ in range(200):
                slow.sendall(b"G")
                time.sleep(0.02)
        assert _is_closed(slow)
        assert _is_closed(kept)


def test_an_address_holds_some_connections_and_others_are_answered_once_they_are_gone(address):
    held = [socket.create_connection(address) for _ in range(LIMITS["most_an_address"])]
    for one in held:
        one.sendall(b"GET / HTTP/1.1\r\n")
    with socket.create_connection(address) as further:
        assert _is_closed(further)
    assert all(_is_closed(one) for one in held)
    for one in held:
        one.close()
    with urllib.request.urlopen("http://{}:{}/".format(*address)) as answer:
        assert answer.read() == b"here"


def _serve_few(path: Path, told: str) -> None:
    connections.most_connections = lambda: 16  # type: ignore[assignment]
    log_to(str(path / "refused.log"))
    _serve(path, told, {"header_seconds": 60.0})


def test_a_server_that_holds_all_that_it_may_refuses_further_ones_in_a_line_and_recovers(tmp_path):
    with process(_serve_few, tmp_path, "address") as child:
        while not (tmp_path / "address").exists():
            child.join(0.02)
            assert child.is_alive()
        host, port = (tmp_path / "address").read_text().removeprefix("http://").rstrip("/").split(":")
        held = []
        for i in range(17):  # from three addresses, as one may hold half
            one = socket.create_connection((host, int(port)), timeout=60, source_address=(f"127.0.0.{2 + i % 3}", 0))
            one.sendall(b"GET / HTTP/1.1\r\nHo")
            held.append(one)
        with contextlib.suppress(ConnectionResetError):
            assert held[-1].recv(99).startswith(b"HTTP/1.1 503 ")
        for one in held:
            one.close()
        for _ in range(100):
            with contextlib.suppress(OSError), urllib.request.urlopen((tmp_path / "address").read_text()) as answer:
                assert answer.read() == b"here"
                break
            time.sleep(0.05)
    lines = [json.loads(line) for line in (tmp_path / "refused.log").read_text().splitlines()]
    assert {line["why"] for line in lines} == {"16 connections are held already."}


def test_half_of_the_file_descriptors_are_for_connections():
    assert most_connections() == max(8, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


def test_a_body_that_does_not_come_is_answered_by_408(monkeypatch):
    monkeypatch.setattr(guard, "PIECE_SECONDS", 0.05)

    async def app(scope, receive, send):
        await receive()

    async def nothing():
        await asyncio.sleep(60)

    scope = {"type": "http", "path": "/", "method": "GET", "headers": []}
    with pytest.raises(HTTPException) as refused:
        run_apart(guard.Guard(app)(scope, nothing, None))
    assert refused.value.status_code == 408


def test_a_port_in_use_is_an_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ParameterError, match=f"port {port}: Address already in use; choose another"):
            serve(None, host="127.0.0.1", port=port, ready=lambda address: None)


def test_a_host_of_no_kind_is_an_error():
    with pytest.raises(ParameterError, match=r"cannot listen at 256\.1\.1\.1"):
        serve(None, host="256.1.1.1", port=0, ready=lambda address: None)
