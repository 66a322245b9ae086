"""Wrong requests: each is answered with its status, without what was sent, and changes no review."""

from __future__ import annotations

import re

import pytest

from tests.serve.conftest import HOSTILE, act_token, form_token

NIGHT = "/reviews/night"
FORM = {"content-type": "application/x-www-form-urlencoded"}

READS = {
    "absent review": ("/reviews/nothing", 404),
    "hostile review": (f"/reviews/{HOSTILE}/grid", 404),
    "review of a NUL": ("/reviews/%00/next", 404),
    "item 0": (f"{NIGHT}/items/0", 404),
    "item beyond the last": (f"{NIGHT}/items/15", 404),
    "negative item": (f"{NIGHT}/items/-1", 404),
    "huge item": (f"{NIGHT}/items/{10**30}", 404),
    "item in words": (f"{NIGHT}/items/one", 404),
    "item with a path": (f"{NIGHT}/items/..%2f..%2fetc%2fpasswd", 404),
    "item in other digits": (f"{NIGHT}/items/١x", 404),
    "image of another use": (f"{NIGHT}/items/1/original.img", 404),
    "image by a path": (f"{NIGHT}/items/1/../../../../etc/passwd", 404),
    "reference beyond the last": (f"{NIGHT}/items/1/near/given/99.img", 404),
    "reference before the first": (f"{NIGHT}/items/1/near/given/-1.img", 404),
    "reference of another kind": (f"{NIGHT}/items/1/near/other/0.img", 404),
    "image that cannot be read": (f"{NIGHT}/items/14/image.img", 404),
    "static file by a path": ("/static/x/..%2f..%2fapp.py", 404),
    "absent page": ("/wp-admin.php", 404),
    "state of no kind": (f"{NIGHT}/grid?state=lost", 400),
    "class of no kind": (f"{NIGHT}/grid?given=zebra", 400),
    "score of no kind": (f"{NIGHT}/grid?low=nan", 400),
    "reader of no kind": (f"{NIGHT}/grid?reader=eve", 400),
    "page of no kind": (f"{NIGHT}/grid?after=x", 400),
    "very long filter": (f"{NIGHT}/grid?given={'x' * 600}", 404),
    "act of no kind": (f"{NIGHT}/items/1?did=drop", 404),
    "settlement of no dispute": (f"{NIGHT}/settle/1", 404),
    "verdict by GET": (f"{NIGHT}/items/1/verdict", 405),
}


@pytest.mark.parametrize("name", READS)
def test_a_wrong_address_is_refused(ann, reviews, name):
    path, status = READS[name]
    answer = ann.client.get(path)
    assert answer.status_code == status
    assert HOSTILE not in answer.text
    assert reviews.verdicts("night") == []


WRITES = {
    "no form token": ({"form": None}, 403),
    "another form token": ({"form": "0" * 64}, 403),
    "form token twice": ({"form": ["a", "b"]}, 400),
    "no kind": ({"kind": None}, 400),
    "unknown kind": ({"kind": "delete"}, 400),
    "hostile kind": ({"kind": HOSTILE}, 400),
    "no token of the act": ({"token": None}, 400),
    "empty token of the act": ({"token": ""}, 400),
    "long token of the act": ({"token": "x" * 101}, 400),
    "suggestion without a class": ({"kind": "suggest"}, 400),
    "suggestion of an unknown class": ({"kind": "suggest", "class": "zebra"}, 400),
    "suggestion of a negative class": ({"kind": "suggest", "class": "-1"}, 400),
    "suggestion of a class beyond the last": ({"kind": "suggest", "class": "#8"}, 400),
    "suggestion of two classes": ({"kind": "suggest", "class": ["cat", "dog"]}, 400),
    "several of one": ({"kind": "several", "class": ["cat", "cat"]}, 400),
    "category without severity": ({"category": "Non-prototypical"}, 400),
    "unknown category": ({"category": "bad", "severity": "Major"}, 400),
    "long note": ({"note": "x" * 2001}, 400),
    "long field": ({"note": "x" * 4001}, 400),
    "NUL in a field": ({"note": "a\0b"}, 400),
    "NUL in a class": ({"kind": "suggest", "class": "cat\0"}, 400),
    "escape in a field": ({"note": "\x1b[31m"}, 400),
    "too many fields": ({f"x{i}": "1" for i in range(60)}, 400),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_wrong_form_is_refused(ann, reviews, name):
    fields, status = WRITES[name]
    page = ann.get(f"{NIGHT}/items/1")
    text = ann.post(f"{NIGHT}/items/1/verdict", page, status=status, **{"kind": "confirm", **fields})
    assert HOSTILE not in text
    assert 'role="alert"' in text
    assert reviews.verdicts("night") == []


BODIES = {
    "JSON": (b'{"kind": "confirm"}', {"content-type": "application/json"}, 415),
    "multipart": (b"--x\r\n", {"content-type": "multipart/form-data; boundary=x"}, 415),
    "no type": (b"kind=confirm", {}, 415),
    "no form": (b"kind", FORM, 400),
    "other bytes": (b"kind=\xff\xfe", FORM, 400),
    "other bytes, quoted": (b"kind=%ff%fe", FORM, 400),
    "empty": (b"", FORM, 403),
    "huge": (b"kind=" + b"x" * (70 << 10), FORM, 413),
    "length of no kind": (b"kind=confirm", {**FORM, "content-length": "-5"}, 400),
    "other origin": (b"kind=confirm", {**FORM, "origin": "http://evil.example"}, 403),
    "other origin of the same port": (b"kind=confirm", {**FORM, "origin": "http://localhost.evil.example"}, 403),
    "opaque origin": (b"kind=confirm", {**FORM, "origin": "null"}, 403),
    "other site": (b"kind=confirm", {**FORM, "sec-fetch-site": "cross-site"}, 403),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_wrong_body_is_refused(ann, reviews, name):
    body, headers, status = BODIES[name]
    answer = ann.client.post(f"{NIGHT}/items/1/verdict", content=body, headers=headers)
    assert answer.status_code == status
    assert reviews.verdicts("night") == []


def test_a_body_without_a_length_is_counted(ann):
    answer = ann.client.post(f"{NIGHT}/undo", content=(b"x" * 1000 for _ in range(100)), headers=FORM)
    assert answer.status_code == 413


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(ann, reviews, method):
    answer = ann.client.request(method, f"{NIGHT}/items/1/verdict")
    assert answer.status_code == 405
    assert reviews.verdicts("night") == []


def test_undo_of_nothing_is_refused(ann):
    text = ann.post(f"{NIGHT}/undo", ann.get(f"{NIGHT}/items/1"), status=400)
    assert "there is no verdict to undo" in text


def test_a_token_of_another_verdict_is_refused(ann, reviews):
    page = ann.get(f"{NIGHT}/items/1")
    ann.post(f"{NIGHT}/items/1/verdict", page, kind="confirm")
    text = ann.post(f"{NIGHT}/items/1/verdict", page, status=400, kind="unclear")
    assert "was used for another verdict" in text
    assert len(reviews.verdicts("night")) == 1


def test_nothing_of_strangers_is_markup(ann):
    for path in ("/items/2", "/items/3", "/grid", "/progress", "/settle", "/versions", "/items/2/log"):
        page = ann.get(NIGHT + path)
        assert "<script>alert" not in page, path
    page = ann.get(f"{NIGHT}/items/2")
    assert "&lt;script&gt;alert(&#39;&#34;&amp;&lt;/script&gt;/1.png" in page
    post = f"{NIGHT}/items/3/verdict"
    page = ann.post(post, ann.get(f"{NIGHT}/items/3"), kind="suggest", note=HOSTILE, **{"class": HOSTILE})
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "<script>alert" not in ann.get(f"{NIGHT}/items/3/log")


def test_no_page_has_a_script_or_style_inside(ann):
    for path in ("/", f"{NIGHT}/items/2", f"{NIGHT}/grid", f"{NIGHT}/progress", f"{NIGHT}/versions", "/log-in", "/no"):
        page = ann.client.get(path).text
        assert re.findall(r"<script(?! src=\"/static/)|<style|javascript:| on\w+=", page) == [], path
        assert "/static/" in page


def test_the_forms_of_a_page_have_both_tokens(ann):
    page = ann.get(f"{NIGHT}/items/1")
    assert page.count('method="post"') == page.count('name="form"') == page.count('name="token"') >= 4
    assert len(form_token(page)) == 64
    assert len(act_token(page)) == 32
