"""The review in a browser: with the keyboard only, on a wide and a narrow screen, and without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serve.browsing import barriers_of, serve_app
from unshaken.serve.app import create_app
from unshaken.serve.review.part import review_part

pytestmark = pytest.mark.browser
NIGHT = "/reviews/night"


@pytest.fixture
def served(reviews, data) -> Iterator[str]:
    """The address of a server of the reviews, for the local reader ann."""
    with serve_app(create_app([review_part(reviews, lambda review: data)], local="ann")) as address:
        yield address


def press(tab, keys, item, did="", last="*"):
    """Press keys, and wait for the page of an item with what was done."""
    for key in keys:
        tab.keyboard.press(key)
    tab.wait_for_url(f"**/items/{item}?last={last}&did={did}" if did else f"**/items/{item}")


@pytest.mark.parametrize("width", [1280, 390])
def test_ten_items_are_reviewed_with_the_keyboard_alone(open_tab, reviews, width):
    tab, troubles = open_tab(NIGHT, width=width)
    press(tab, ["c"], 1, "confirm")  # cat; the model says dog, which is shown now
    assert tab.get_by_text("By your verdict the model is wrong").is_visible()
    press(tab, ["3", "6", "Enter"], 2, "confirm")  # spurious correlation, major
    press(tab, ["s", *"crane #2", "Enter"], 3, "suggest")
    press(tab, ["n"], 3, "not-in-classes")
    press(tab, ["j"], 4)
    press(tab, ["c"], 5, "confirm")
    press(tab, ["u"], 6, "unclear")
    for key in ("v", "Tab", "Tab", *"cra"):  # past the box of the label, which is checked, to a search
        tab.keyboard.press(key)
    tab.get_by_role("option", name="crane #4").wait_for()
    press(tab, ["ArrowDown", "Enter", "Enter"], 6, "several")
    press(tab, ["ArrowRight"], 7)
    press(tab, ["k"], 8, "skip")
    press(tab, ["c"], 9, "confirm")
    press(tab, ["z"], 8, "undo")
    press(tab, ["n"], 9, "not-in-classes")
    press(tab, ["c"], 9, "confirm")
    press(tab, ["m"], 10, "suggest")
    press(tab, ["s", *"ship", "Enter"], 10, "suggest", last=10)
    verdicts = [reviews.item("night", i, "ann").own for i in range(1, 11)]
    found = [None if v is None else (v.kind.value, v.classes) for v in verdicts]
    assert found == [
        ("confirm", ()), ("suggest", (2,)), ("not-in-classes", ()), ("confirm", ()), ("unclear", ()),
        ("several", (1, 4)), None, ("not-in-classes", ()), ("suggest", (1,)), ("suggest", (3,)),
    ]  # fmt: skip
    assert (verdicts[0].category, verdicts[0].severity) == ("Spurious Correlation", "Major")
    assert troubles == []


PAGES = {
    "list": "/",
    "item": f"{NIGHT}/items/5",
    "item with a verdict": f"{NIGHT}/items/1",
    "several": f"{NIGHT}/items/3",
    "grid": f"{NIGHT}/grid",
    "settle": f"{NIGHT}/settle",
    "dispute": f"{NIGHT}/settle/2",
    "progress": f"{NIGHT}/progress",
    "agreement": f"{NIGHT}/agreement",
    "versions": f"{NIGHT}/versions",
    "log": f"{NIGHT}/items/2/log",
    "trouble": f"{NIGHT}/items/999",
    "log in": "/log-in",
}


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_every_page_is_accessible(open_tab, reviews, width, scheme):
    from unshaken.labels.review.verdict import Verdict

    for n, (item, reader, verdict) in enumerate(
        [
            (1, "ann", Verdict(kind="confirm")),
            (2, "ann", Verdict(kind="confirm")),
            (2, "bob", Verdict(kind="suggest", classes=(5,), note="it has whiskers")),
            (3, "ann", Verdict(kind="several", classes=(0, 1, 6))),
        ]
    ):
        reviews.record("night", item, reader, verdict, token=str(n))
    reviews.name_version("night", "first")
    tab, _ = open_tab("/", width=width, color_scheme=scheme)
    found = {}
    for name, path in PAGES.items():
        tab.goto(path)
        if name == "item":
            for key in ("?", "t", "Escape", "v"):
                tab.keyboard.press(key)
            for key in "sc":
                tab.keyboard.press(key)
            tab.get_by_role("option").first.wait_for()
        found[name] = barriers_of(tab)
    assert {name: v for name, v in found.items() if v} == {}


def test_the_grid_is_walked_with_the_keyboard(open_tab):
    tab, troubles = open_tab(f"{NIGHT}/grid")

    def at():
        return tab.evaluate("document.activeElement.getAttribute('href')").rpartition("/")[2]

    columns = tab.evaluate("""[...document.querySelectorAll('[data-grid] a')]
        .filter((a, i, all) => a.offsetTop === all[0].offsetTop).length""")
    walk = []
    for key in ("j", "j", "ArrowRight", "k", "ArrowLeft", "ArrowLeft", "ArrowDown", "ArrowUp"):
        tab.keyboard.press(key)
        walk.append(at())
    assert walk == ["1", "2", "3", "2", "1", "1", str(1 + columns), "1"]
    press(tab, ["ArrowDown", "Enter"], 1 + columns)
    assert {t for t in troubles if "404" not in t} == set()  # the picture of the last item cannot be read


def test_letters_can_be_switched_off(open_tab, reviews):
    tab, _ = open_tab(f"{NIGHT}/items/1")
    tab.keyboard.press("?")
    button = tab.get_by_role("button", name="Letters act as keys")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    tab.keyboard.press("c")
    tab.reload()
    tab.keyboard.press("n")
    press(tab, ["ArrowRight"], 2)
    assert reviews.verdicts("night") == []


def test_the_line_of_status_is_spoken(open_tab):
    tab, _ = open_tab(f"{NIGHT}/items/1")
    press(tab, ["k"], 2, "skip")
    status = tab.get_by_role("status")
    assert status.get_attribute("aria-live") == "polite"
    status.filter(has_text="Item 1: skipped.").wait_for()


def test_everything_works_without_javascript(open_tab, reviews):
    tab, troubles = open_tab(f"{NIGHT}/items/1", java_script_enabled=False)
    tab.get_by_role("button", name="The label is right").click()
    tab.get_by_role("link", name="Next").click()
    tab.get_by_label("Another class is right").fill("ship")
    tab.get_by_role("button", name="Suggest").click()
    assert tab.get_by_role("status").inner_text() == "Item 2: another class is right."
    tab.get_by_role("button", name="Undo").click()
    tab.get_by_text("Several classes are right", exact=False).first.click()
    tab.get_by_label("Another", exact=True).fill("ship")
    tab.get_by_role("button", name="Record these classes").click()
    assert [reviews.item("night", i, "ann").own.kind.value for i in (1, 2)] == ["confirm", "several"]
    assert reviews.item("night", 2, "ann").own.classes == (1, 2, 3)  # the model's is known by now
    assert troubles == []


def test_the_focus_is_visible(open_tab):
    tab, _ = open_tab(f"{NIGHT}/items/1")
    hidden = []
    for _ in range(16):
        tab.keyboard.press("Tab")
        style = "(e => [getComputedStyle(e).outlineStyle, getComputedStyle(e).outlineWidth])(document.activeElement)"
        line, width = tab.evaluate(style)
        if line == "none" or float(width.removesuffix("px")) < 2:
            hidden.append(tab.evaluate("document.activeElement.outerHTML"))
    assert hidden == []
