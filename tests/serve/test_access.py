"""Who may read: the loopback address without log-in, tokens elsewhere."""

from __future__ import annotations

import pytest

from tests.serve.conftest import Browser, form_token
from unshaken.serve.guard import POLICY
from unshaken.serve.run import LOOPBACK


@pytest.fixture
def token(reviews):
    return reviews.add_reader("eve")


@pytest.fixture
def stranger(open_client):
    return Browser(open_client(reader=None))


def log_in(browser, token, **more):
    return browser.client.post("/log-in", data={"token": token, **more}, follow_redirects=False)


def test_without_log_in_there_is_one_reader_and_no_way_out(ann):
    page = ann.get("/")
    assert "Log out" not in page
    assert "set-cookie" not in ann.client.get("/").headers


def test_a_page_leads_to_the_log_in_and_back(stranger, token):
    page = stranger.get("/reviews/night/grid?state=open")
    assert "<h1>Log in</h1>" in page
    answer = log_in(stranger, token, next="/reviews/night/grid?state=open")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/reviews/night/grid?state=open"
    assert "eve" in stranger.get("/reviews/night/grid")


def test_the_cookie_is_kept_from_scripts_and_other_sites(stranger, token):
    cookie = log_in(stranger, token).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie  # this client speaks HTTP


def test_the_cookie_stays_on_encrypted_connections_where_it_was_set_on_one(open_client, token):
    client = open_client(reader=None)
    client.base_url = "https://localhost"
    assert "; secure" in log_in(Browser(client), token).headers["set-cookie"].lower()


@pytest.mark.parametrize("path", ["/reviews/night/items/1/image.img", "/reviews/night/items/1/near/given/0.img"])
def test_pictures_need_a_log_in(stranger, path):
    assert stranger.client.get(path).status_code == 403


@pytest.mark.parametrize("path", ["/reviews/night/undo", "/reviews/night/items/1/verdict", "/reviews/night/versions"])
def test_forms_need_a_log_in(stranger, path):
    assert stranger.client.post(path, data={"kind": "confirm"}).status_code == 403


@pytest.mark.parametrize("wrong", ["", "x", "é", "x" * 300, "' OR 1=1 --"])
def test_a_wrong_token_is_refused(stranger, wrong):
    answer = log_in(stranger, wrong)
    assert answer.status_code == 403
    assert "No reader has this token" in answer.text
    assert "set-cookie" not in answer.headers


def test_a_cookie_of_nobody_is_no_log_in(stranger):
    stranger.client.cookies.set("unshaken_reader", "x")
    assert "<h1>Log in</h1>" in stranger.get("/")


def test_a_renewed_token_ends_the_old_ones_sessions(stranger, reviews, token):
    log_in(stranger, token)
    assert "night" in stranger.get("/")
    reviews.renew_token("eve")
    assert "<h1>Log in</h1>" in stranger.get("/")


def test_log_out(stranger, token):
    log_in(stranger, token)
    stranger.post("/log-out", stranger.get("/"))
    assert "<h1>Log in</h1>" in stranger.get("/")


def test_a_form_token_of_another_reader_is_refused(open_client, reviews):
    eve, dan = Browser(open_client(reader=None)), Browser(open_client(reader=None))
    for browser, name in ((eve, "eve"), (dan, "dan")):
        log_in(browser, reviews.add_reader(name))
    page = eve.get("/reviews/night/items/1")
    assert form_token(page) != form_token(dan.get("/reviews/night/items/1"))
    dan.post("/reviews/night/items/1/verdict", page, status=403, kind="confirm")
    assert reviews.verdicts("night") == []


@pytest.mark.parametrize("to", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_the_log_in_leads_to_no_other_site(stranger, token, to):
    assert log_in(stranger, token, next=to).headers["location"] == "/"


def test_too_many_attempts_to_log_in_are_refused(stranger, token):
    statuses = [log_in(stranger, "wrong").status_code for _ in range(10)]
    assert statuses == [403] * 10
    answer = log_in(stranger, token)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 61


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "", "a@localhost", "[::1"]
)
def test_on_the_loopback_another_host_name_is_refused(open_client, host):
    answer = open_client(hosts=LOOPBACK).get("/", headers={"host": host})
    assert answer.status_code == 400
    assert "night" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8123", "127.0.0.1:1", "[::1]:8000"])
def test_on_the_loopback_its_own_names_are_answered(open_client, host):
    assert open_client(hosts=LOOPBACK).get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/log-in", "/absent", "/reviews/night/items/1/image.img", "/static/x/keys.js"])
def test_every_answer_has_the_security_headers(ann, path):
    headers = ann.client.get(path).headers
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("origin", ["http://[", "null", "http://localhost.evil.example", "https://evil.example"])
def test_a_form_of_another_or_of_no_origin_is_refused(ann, origin):
    answer = ann.client.post("/reviews/night/undo", data={"form": "x"}, headers={"origin": origin})
    assert answer.status_code == 403
    assert "another site" in answer.text
    nobody = ann.client.post("/reviews/night/undo", data={"form": "x"}, headers={"origin": "null", "host": ""})
    assert "another site" in nobody.text


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(("mode", "dest"), [("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe")])
def test_the_page_of_another_site_loads_nothing_from_here(ann, site, mode, dest):
    path = "/reviews/night/export/csv"
    sent = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest}
    assert ann.client.get(path, headers=sent).status_code == 403
    link = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert ann.client.get(path, headers=link).status_code == 200
    own = {**sent, "sec-fetch-site": "same-origin"}
    assert ann.client.get(path, headers=own).status_code == 200


def test_no_answer_leads_to_the_host_that_a_request_names(open_client):
    answer = open_client(hosts=None).get("/reviews/", headers={"host": "evil.example"}, follow_redirects=False)
    assert "evil" not in answer.headers.get("location", "")


def test_the_policy_allows_no_inline_script():
    assert "script-src 'self';" in POLICY
    assert "unsafe-eval" not in POLICY
    assert POLICY.count("unsafe-inline") == POLICY.count("style-src-attr 'unsafe-inline'") == 1


def test_pages_are_not_kept_by_the_browser(ann):
    assert ann.client.get("/reviews/night/items/1").headers["cache-control"] == "no-store"
