"""Serving until Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import urllib.request
from pathlib import Path

import pytest

from tests.processes import process
from unshaken.core.errors import ParameterError
from unshaken.serve.run import serve


def _serve(path: Path, told: str) -> None:
    """Serve a page in a process of its own, and write its address and how it ended into files."""
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    for number in (signal.SIGTERM, signal.SIGHUP):  # whoever started the tests may have them ignored, as nohup does
        signal.signal(number, signal.SIG_DFL)
    app = FastAPI()
    app.add_api_route("/", lambda: PlainTextResponse("here"))
    serve(app, host="127.0.0.1", port=0, ready=lambda address: os.rename(_written(path, address), path / told))
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
