"""`unshaken serve`: which application it serves, to whom."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from unshaken.cli import main
from unshaken.serve.review.store import ReviewStore


@pytest.fixture
def served(monkeypatch):
    """The applications that would have been served, with their hosts and ports."""
    found = []

    def serve(app, *, host, port, ready):
        ready(f"http://{host}:{port}/")
        found.append((TestClient(app, base_url=f"http://{host}"), host, port))

    monkeypatch.setattr("unshaken.serve.run.serve", serve)
    yield found
    for client, _, _ in found:  # asked after the command had closed its databases, which opens them again
        with client.app.state.site.store, client.app.state.site.index:
            pass


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


def test_a_reader_without_a_token_gets_one(call, served, tmp_path, capsys):
    with ReviewStore.open(tmp_path / "x.db") as store:
        store.ensure_reader("ann")  # as the import of verdicts leaves one
    assert call("--readers", "ann") == 0
    token = re.findall(r"token of ann, shown only now: (\S+)", capsys.readouterr().out)[0]
    assert served[0][0].post("/log-in", data={"token": token, "next": "/runs"}).url.path == "/runs"
    assert call("--readers", "ann") == 0
    assert "shown only now" not in capsys.readouterr().out


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


def test_a_proxy_names_the_readers(call, served, monkeypatch, capsys):
    assert call("--host", "0.0.0.0", "--user-header", "X-Forwarded-User", "--trusted-proxy", "10.0.0.5") == 0
    app = served[0][0].app
    believed, forged = (TestClient(app, client=(host, 1)) for host in ("10.0.0.5", "10.0.0.6"))
    sent = {"x-forwarded-user": "ann"}
    assert believed.get("/runs", headers=sent).url.path == "/runs"
    assert forged.get("/runs", headers=sent).url.path == "/log-in"
    assert "token" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--user-header", "X-Forwarded-User"], "by --trusted-proxy ADDRESS"),
        (["--user-header", "Cookie", "--trusted-proxy", "10.0.0.5"], "no header that only a proxy sets"),
        (["--trusted-proxy", "proxy.example"], "is no address"),
        (["--audit-log", "/nowhere/x.log"], "cannot be written"),
    ],
)
def test_a_proxy_that_cannot_be_believed_is_refused(call, served, capsys, options, why):
    assert call(*options) == 2
    message = capsys.readouterr().err
    assert why in message
    assert message.count("\n") == 1
    assert served == []
