"""Log-in behind a proxy: whose header is believed, which names are, and where the name stands afterwards."""

from __future__ import annotations

import json
import logging

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.testclient import TestClient

from tests.serve.conftest import Browser, form_token
from unshaken.core.errors import ParameterError
from unshaken.serve.app import create_app
from unshaken.serve.proxy import PEER, Proxy
from unshaken.serve.request_log import acts, log_to, refusals
from unshaken.serve.review.part import review_part

USER = "X-Forwarded-User"
NIGHT = "/reviews/night/items/1"


@pytest.fixture
def connect(reviews, data):
    """Makes a client that connects from an address to a server behind the proxy 10.0.0.5."""

    def make(address="10.0.0.5", proxy=("10.0.0.5",), header=USER, **headers):
        app = create_app([review_part(reviews, lambda review: data)], readers=reviews, proxy=Proxy.parse(proxy, header))
        client = TestClient(app, base_url="http://localhost", client=(address, 4321))
        client.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
        return client

    return make


def as_user(client, name):
    client.headers[USER] = name
    return Browser(client)


def test_who_logged_in_at_the_proxy_is_the_reader(connect, reviews):
    eve = as_user(connect(), "eve+reviews@example.org")
    page = eve.get(NIGHT)
    assert "eve+reviews@example.org" in page
    assert "Log out" not in page
    eve.post(f"{NIGHT}/verdict", page, kind="confirm")
    assert [row.reader for row in reviews.verdicts("night")] == ["eve+reviews@example.org"]


@pytest.mark.parametrize("address", ["10.0.0.6", "127.0.0.1", "::1", "testclient", ""])
def test_from_another_address_the_header_is_not_believed(connect, address):
    client = connect(address)
    assert "<h1>Log in</h1>" in as_user(client, "eve").get(NIGHT)
    forged = {"x-forwarded-for": "10.0.0.5", "forwarded": "for=10.0.0.5", "x-real-ip": "10.0.0.5"}
    assert "<h1>Log in</h1>" in as_user(client, "eve").get(NIGHT, headers=forged)


def test_the_proxy_is_known_by_its_connection_whatever_client_it_names(connect):
    assert "eve" in as_user(connect(), "eve").get(NIGHT, headers={"x-forwarded-for": "192.0.2.1"})


@pytest.mark.parametrize(
    ("proxy", "address"),
    [("10.0.0.0/24", "10.0.0.9"), ("10.0.0.5", "::ffff:10.0.0.5"), ("2001:db8::/64", "2001:db8::9")],
)
def test_a_proxy_is_an_address_or_a_network(connect, proxy, address):
    assert "eve" in as_user(connect(address, (proxy,)), "eve").get(NIGHT)
    assert "<h1>Log in</h1>" in as_user(connect("10.0.1.9", (proxy,)), "eve").get(NIGHT)


@pytest.mark.parametrize("name", ["", " ", "x" * 65, "a,b", "<script>", "a;b", "a/b", "_x", "a\tb"])
def test_a_name_that_is_none_is_refused(connect, reviews, name):
    before = reviews.readers()
    answer = connect().get(NIGHT, headers=[(USER.encode(), name.encode("latin-1"))])
    assert answer.status_code == 403
    assert USER in answer.text
    assert "<script>" not in answer.text
    assert reviews.readers() == before


def test_a_name_in_utf_8_is_read_so(connect):
    page = connect().get(NIGHT, headers=[(USER.encode(), "zoë".encode())])
    assert (page.status_code, "zoë" in page.text) == (200, True)


def test_a_name_in_another_encoding_is_refused():
    scope = {"type": "http", "headers": [(USER.lower().encode(), b"zo\xeb")], PEER: "10.0.0.5"}
    with pytest.raises(HTTPException) as caught:
        Proxy.parse(["10.0.0.5"], USER).reader_of(Request(scope))
    assert "not in UTF-8" in caught.value.detail


def test_a_header_that_comes_twice_is_refused(connect):
    answer = connect().get(NIGHT, headers=[(b"x-forwarded-user", b"eve"), (b"X-Forwarded-User", b"root")])
    assert answer.status_code == 403
    assert "2 times" in answer.text


def test_without_the_header_a_token_still_logs_in(connect, reviews):
    client, token = connect(), reviews.add_reader("eve")
    assert "<h1>Log in</h1>" in client.get(NIGHT).text
    assert client.post("/log-in", data={"token": token, "next": NIGHT}).status_code == 200
    assert "Log out" in client.get(NIGHT).text


def test_off_unless_it_is_switched_on(connect):
    assert "<h1>Log in</h1>" in as_user(connect(header=None), "eve").get(NIGHT)
    assert Proxy.parse(()) is None


def test_a_form_of_one_reader_is_none_of_another(connect, reviews):
    client = connect()
    page = as_user(client, "eve").get(NIGHT)
    assert form_token(page) != form_token(as_user(client, "dan").get(NIGHT))
    as_user(client, "dan").post(f"{NIGHT}/verdict", page, status=403, kind="confirm")
    assert reviews.verdicts("night") == []


def test_the_page_of_another_site_cannot_act_as_who_is_logged_in_at_the_proxy(connect):
    page = as_user(connect(), "eve").get(NIGHT)
    sent = {"form": form_token(page), "kind": "confirm", "token": "1"}
    foreign = {"origin": "https://evil.example", USER: "eve"}
    assert connect().post(f"{NIGHT}/verdict", data=sent, headers=foreign).status_code == 403


@pytest.mark.parametrize(
    "header", ["", "X Forwarded", "X-User:", "X_User", "é", "-x", "x" * 65, "Cookie", "host", "Authorization", "Origin",
               "X-Forwarded-For", "Sec-Fetch-Site", "Content-Type", "User-Agent"],
)  # fmt: skip
def test_a_header_that_others_send_is_refused(header):
    with pytest.raises(ParameterError, match="no header that only a proxy sets"):
        Proxy.parse(["10.0.0.5"], header)


@pytest.mark.parametrize("address", ["", "proxy.example", "*", "0.0.0.0/0", "::/0", "10.0.0.5/24", "10.0.0.5:80"])
def test_what_is_no_address_of_a_proxy_is_refused(address):
    with pytest.raises(ParameterError, match="--trusted-proxy"):
        Proxy.parse([address], USER)


def test_a_header_without_a_proxy_is_refused():
    with pytest.raises(ParameterError, match="--trusted-proxy ADDRESS"):
        Proxy.parse((), USER)


@pytest.mark.parametrize("address", ["10.0.0.5", "10.0.0.6"])
def test_a_log_in_over_tls_of_the_proxy_keeps_the_cookie_to_it(connect, reviews, address):
    sent = {"token": reviews.add_reader("eve")}
    answer = connect(address).post("/log-in", data=sent, headers={"x-forwarded-proto": "https"}, follow_redirects=False)
    assert ("; secure" in answer.headers["set-cookie"].lower()) == (address == "10.0.0.5")


@pytest.fixture
def lines(tmp_path):
    """Reads the lines of the audit log."""
    logs = acts, refusals
    before = [(log.handlers[:], log.level, log.propagate) for log in logs]
    log_to(str(tmp_path / "audit.log"), *logs)
    yield lambda: [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    for log, (handlers, level, propagate) in zip(logs, before, strict=True):
        for handler in set(log.handlers) - set(handlers):
            log.removeHandler(handler)
            handler.close()
        log.level, log.propagate = level, propagate


def test_the_audit_log_has_who_did_what_and_who_was_refused(connect, reviews, lines):
    eve = as_user(connect(X_Forwarded_For="192.0.2.1"), "eve")
    page = eve.get(NIGHT)
    eve.post(f"{NIGHT}/verdict", page, kind="confirm", note="secret")
    eve.post(f"{NIGHT}/verdict", "".join(page.replace(form_token(page), "0" * 64)), status=403, kind="confirm")
    token = reviews.add_reader("dan")
    for sent in ("wrong", token):
        connect("10.0.0.6").post("/log-in", data={"token": sent, "next": "/reviews?x=secret"}, follow_redirects=False)
    found = [(one["caller"], one["address"], one["status"], one["path"]) for one in lines()]
    assert found == [
        ("eve", "192.0.2.1", 303, f"{NIGHT}/verdict"),
        ("eve", "192.0.2.1", 403, f"{NIGHT}/verdict"),
        ("", "10.0.0.6", 403, "/log-in"),
        ("dan", "10.0.0.6", 303, "/log-in"),
    ]
    assert lines()[3]["to"] == "/reviews"
    assert "secret" not in json.dumps(lines())
    assert token not in json.dumps(lines())


def test_without_an_audit_log_nothing_is_logged(connect, caplog):
    eve = as_user(connect(), "eve")
    with caplog.at_level(logging.WARNING):
        eve.post(f"{NIGHT}/verdict", eve.get(NIGHT), kind="confirm")
    assert caplog.records == []
