"""`unshaken serve`: which application it serves, to whom."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from unshaken.cli import main


@pytest.fixture
def served(monkeypatch):
    """The applications that would have been served, with their hosts and ports."""
    found = []

    def serve(app, *, host, port, ready):
        ready(f"http://{host}:{port}/")
        found.append((TestClient(app, base_url=f"http://{host}"), host, port))

    monkeypatch.setattr("unshaken.serve.run.serve", serve)
    return found


@pytest.fixture
def call(tmp_path):
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "run.json").write_text('{"model_name": "net"}')
    return lambda *more: main(["serve", str(tmp_path / "runs"), "--db", str(tmp_path / "x.db"), *more])


def test_one_reader_of_this_machine_needs_no_log_in(call, served, tmp_path, capsys):
    assert call("--port", "8123") == 0
    client, host, port = served[0]
    assert capsys.readouterr().out == f"runs in {tmp_path}/runs: http://127.0.0.1:8123/  (Ctrl-C ends)\n"
    assert (host, port) == ("127.0.0.1", 8123)
    assert client.get("/runs").status_code == 200
    assert client.get("/runs", headers={"host": "evil.example"}).status_code == 400


def test_readers_log_in_with_the_tokens_that_are_printed_once(call, served, capsys):
    assert call("--readers", "ann, bob", "--host", "0.0.0.0") == 0
    tokens = re.findall(r"token of \w+, shown only now: (\S+)", capsys.readouterr().out)
    assert len(tokens) == 2
    client = served[0][0]
    assert client.get("/runs").url.path == "/log-in"
    assert client.post("/log-in", data={"token": tokens[0], "next": "/runs"}).url.path == "/runs"
    assert call("--host", "0.0.0.0") == 0
    assert "token" not in capsys.readouterr().out


def test_others_must_not_reach_it_without_tokens(call, served, capsys):
    assert call("--host", "0.0.0.0") == 2
    assert "so readers need tokens: name them by --readers" in capsys.readouterr().err
    assert served == []


def test_read_only_takes_no_act(call, served):
    assert call("--read-only") == 0
    client = served[0][0]
    assert client.post("/runs/refresh").status_code == 403
    assert "Jobs" not in client.get("/runs").text


@pytest.mark.parametrize("db", ["mysql://x/y", "sqlite://", "postgresql://h"])
def test_a_database_of_no_kind_is_refused(served, tmp_path, capsys, db):
    assert main(["serve", str(tmp_path), "--db", db]) == 2
    assert "no address of a store" in capsys.readouterr().err
