"""The pages of runs in a browser: accessible on a wide and a narrow screen, and walked with the keyboard alone."""

from __future__ import annotations

import re
import sys

import pytest

from tests.serve.browsing import barriers_of, serve_app
from tests.serve.site.conftest import runs_of, write_map
from unshaken.serve.app import create_app
from unshaken.serve.site.part import site_parts
from unshaken.store.run_dir import RunDir

pytestmark = pytest.mark.browser


@pytest.fixture
def site(open_at, folder):
    return open_at(folder)


@pytest.fixture
def served(site):
    with serve_app(create_app(site_parts(site), readers=site.store, local="ann")) as address:
        yield address


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_every_page_is_accessible(open_tab, site, width, scheme):
    a, b = (runs_of(site)[name] for name in ("a", "deep/b"))
    site.index.tag(a.place, "night")
    site.jobs.at_once = 0
    job = site.jobs.start("an audit", ["audit"], "ann")
    pages = [
        "/runs",
        f"/runs?baseline={a.id}",
        "/runs?search=a&order=name",
        "/bin",
        "/board",
        "/papers",
        "/jobs",
        "/jobs/new?verb=attack&method=pgd",
        f"/jobs/{job.id}",
    ]
    pages += [f"/runs/{a.id}{page}" for page in ("", "/samples", "/samples/1", "/report", "/model", "/samples?after=x")]
    pages += [f"/compare?baseline={a.id}&candidate={b.id}"]
    tab, _ = open_tab("/", width=width, color_scheme=scheme)
    found = {}
    for page in pages:
        tab.goto(page)
        found[page] = barriers_of(tab)
    assert {page: barriers for page, barriers in found.items() if barriers} == {}


def test_the_map_in_a_report_leads_to_the_pages_of_samples(open_tab, site, folder):
    write_map(RunDir(folder / "a"))
    number = runs_of(site)["a"].id
    tab, troubles = open_tab(f"/runs/{number}/report")
    assert barriers_of(tab) == []
    figure = tab.locator("[data-map]")
    figure.get_by_role("button", name="Choose what is in view").press("Enter")
    figure.locator("summary").press("Enter")
    figure.locator(".ids button").first.press("Enter")
    tab.wait_for_url(re.compile(rf"/runs/{number}/samples/\d+$"))
    assert {t for t in troubles if "404" not in t} == set()


def test_a_choice_on_the_map_becomes_a_filter_of_the_samples(open_tab, site, folder):
    write_map(RunDir(folder / "a"))
    number = runs_of(site)["a"].id
    tab, troubles = open_tab(f"/runs/{number}/report")
    figure = tab.locator("[data-map]")
    figure.get_by_role("button", name="Choose wrong").press("Enter")
    (chosen,) = re.findall(r"(\d+) images? chosen of 48", figure.inner_text())
    figure.get_by_label("Name of the slice").fill("the hard ones")
    figure.get_by_role("button", name="Save as a filter of the samples").press("Enter")
    tab.wait_for_url(re.compile(r"/samples\?selection=the\+hard\+ones$"))
    assert f"{chosen} samples" in tab.locator("main").inner_text()
    assert barriers_of(tab) == []
    assert {t for t in troubles if "404" not in t} == set()


def test_the_pictures_of_a_sample_are_enlarged_and_moved_together(open_tab, site):
    tab, troubles = open_tab(f"/runs/{runs_of(site)['a'].id}/samples/1")
    pictures = tab.locator("[data-zoom] img")
    shown = lambda: {p.evaluate("e => e.style.transform") for p in pictures.all()}  # noqa: E731
    assert pictures.count() > 1
    tab.keyboard.press("+")
    tab.keyboard.press("+")
    tab.keyboard.press("ArrowLeft")
    assert shown() == {"translate(25%, 0%) scale(4)"}
    for _ in range(20):
        tab.keyboard.press("ArrowUp")
    assert shown() == {"translate(25%, 150%) scale(4)"}  # the edge of the picture: half of what is beyond it
    assert barriers_of(tab) == []
    tab.get_by_role("button", name="Whole").click()
    assert (shown(), tab.locator("output").inner_text()) == ({""}, "1×")
    tab.keyboard.press("ArrowRight")
    tab.wait_for_url(re.compile(r"/samples/2$"))
    assert {t for t in troubles if "404" not in t} == set()


def test_a_folded_run_is_fetched_when_it_is_opened(open_tab, site):
    a, b = (runs_of(site)[name].id for name in ("a", "deep/b"))
    tab, troubles = open_tab(f"/runs/{a}/samples/0")
    part = tab.locator(f"#run-{b}")
    assert part.locator("table").count() == 0
    part.locator("summary").press("Enter")
    part.locator("table").wait_for()
    assert tab.url.endswith(f"/runs/{a}/samples/0?other={b}#run-{b}")
    assert barriers_of(tab) == []
    tab.reload()
    assert part.locator("table").is_visible()
    assert {t for t in troubles if "404" not in t} == set()


def test_the_keyboard_alone_goes_to_the_board_and_from_there_to_a_run(open_tab, site):
    tab, troubles = open_tab("/runs")

    def follow(link):
        link.focus()
        tab.keyboard.press("Enter")

    follow(tab.get_by_role("navigation", name="Places").get_by_role("link", name="Board"))
    tab.get_by_role("heading", name="Board of models").wait_for()
    tab.keyboard.press("/")
    tab.keyboard.type("net deep")
    tab.keyboard.press("Enter")
    tab.get_by_text("1 model under 1 protocol").wait_for()
    tab.go_back()
    follow(tab.get_by_role("link", name="net deep/b").first)
    tab.wait_for_url("**/model")
    assert troubles == []


def test_the_keyboard_alone_compares_filters_and_starts_a_run(open_tab, site):
    site.jobs.command = (sys.executable, "-c", "pass")
    a, b = (runs_of(site)[name] for name in ("a", "deep/b"))
    tab, troubles = open_tab("/runs")

    def follow(link):
        link.focus()
        tab.keyboard.press("Enter")

    follow(tab.get_by_role("link", name="Compare a with another run"))
    follow(tab.get_by_role("link", name="Compare a with deep/b"))
    tab.wait_for_url(f"**/compare?baseline={a.id}&candidate={b.id}")
    tab.goto(f"/runs/{a.id}/samples?condition=fog-3")
    for key in ("j", "ArrowRight", "Enter"):
        tab.keyboard.press(key)
    tab.get_by_role("heading", name="In this run").wait_for()
    tab.goto(f"/runs/{a.id}/samples?condition=fog-3")
    tab.get_by_label("Label").focus()
    tab.keyboard.type("boo")
    tab.get_by_role("option", name="boot").wait_for()
    for key in ("Enter", "Enter"):
        tab.keyboard.press(key)
    tab.get_by_text("9 samples").wait_for()
    tab.goto("/jobs/new?verb=audit")
    tab.get_by_role("button", name="Start").focus()
    tab.keyboard.press("Enter")
    tab.get_by_text("done").wait_for()  # the page asks for the state by itself
    assert {t for t in troubles if "404" not in t} == set()  # pictures that were not kept
