"""The grid: filters and pages."""

from __future__ import annotations

import re

import pytest

from unshaken.serve.review.pages import grid


def shown(page):
    return [int(n) for n in re.findall(r'<a href="/reviews/\w+/items/(\d+)">', page)]


def test_all_items_are_shown_in_their_order(ann):
    assert shown(ann.get("/reviews/night/grid")) == list(range(1, 15))


@pytest.mark.parametrize(
    ("query", "items"),
    [
        ({"given": "dog"}, [2, 6, 10, 14]),
        ({"given": "CRANE #2", "state": "open"}, [3, 7, 11]),
        ({"state": "waiting"}, []),
        ({"state": "agreed"}, []),
    ],
)
def test_filters(ann, query, items):
    page = ann.get("/reviews/night/grid", params=query)
    assert shown(page) == items
    assert ("No item fits." in page) == (not items)


def test_filters_on_suggestion_and_score_of_an_open_review(ann):
    assert shown(ann.get("/reviews/day/grid", params={"suggested": "dog"})) == [1]
    assert shown(ann.get("/reviews/day/grid", params={"low": "0.05", "high": "1/10"})) == [2, 3]


def test_a_blind_grid_tells_nothing_of_the_model(ann):
    page = ann.get("/reviews/night/grid")
    assert "model:" not in page
    assert shown(ann.get("/reviews/night/grid", params={"suggested": "dog"})) == []
    ann.post("/reviews/night/items/1/verdict", ann.get("/reviews/night/items/1"), kind="confirm")
    assert shown(ann.get("/reviews/night/grid", params={"suggested": "dog"})) == [1]
    page = ann.get("/reviews/night/grid")
    assert page.count("model: ") == 1
    assert "you: confirmed" in page


def test_pages_follow_each_other(ann, monkeypatch):
    monkeypatch.setattr(grid, "LIMIT", 6)
    address, found = "/reviews/night/grid?state=open", []
    while address:
        page = ann.get(address)
        found.append(shown(page))
        address = "".join(re.findall(r'<a class="button" href="([^"]+)" rel="next"', page)).replace("&amp;", "&")
    assert found == [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12], [13, 14]]
    assert "First page" in page


def test_a_wrong_filter_is_said_and_the_form_keeps_what_was_typed(ann):
    page = ann.get("/reviews/night/grid", status=400, params={"given": "zebra", "low": "0.5"})
    assert "no class is called" in page
    assert 'value="zebra"' in page
    assert 'value="0.5"' in page
