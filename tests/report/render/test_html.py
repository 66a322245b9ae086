from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from unshaken.report import build, check_gates, compare_runs
from unshaken.report.blocks import Block, Doubt, Flags, Heading, Headline, Items, Page, Prose, Span
from unshaken.report.pages.runs import comparison_page, report_page
from unshaken.report.render.html import render_html
from unshaken.report.sections.comparison import difference_strips
from unshaken.store.config import Entry
from unshaken.store.run_dir import RunDir

Make = Callable[..., RunDir]
HOSTILE = "<script>alert(1)</script>"
LIMIT = 2_000_000


class Outline(HTMLParser):
    """Tags with their attributes, and the text of headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def every(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, write: Callable[..., RunDir]) -> str:
    folder = tmp_path_factory.mktemp("page")

    def make_run(name: str, **options: Any) -> RunDir:
        return write(folder / name, attacks=True, **options)

    base = make_run("base", shift=-2.0, model_name=f"base {HOSTILE}")
    run = make_run(
        "run", beside=["../other", "../absent"], model_name=f"net {HOSTILE}", data=f"folder:{HOSTILE}", view=HOSTILE
    )
    make_run("other", shift=1.0, model_name="other net")
    summary = build(run, baseline=base)
    gates = check_gates(["clean.accuracy >= 0.5", "worst_case >= 0.5"], summary.data)
    return render_html(report_page(summary, gates))


def test_nothing_is_fetched_and_no_text_becomes_markup(page: str) -> None:
    outline = Outline(page)
    assert len(outline.every("script")) == 1
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<b>broken" not in page
    for _, attributes in outline.tags:
        assert not [a for a in attributes if a.startswith("on")]
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#"))
    assert not re.search(r"url\(|@import|https?://", page)


def test_only_the_page_s_own_script_may_run(page: str) -> None:
    import base64
    import hashlib

    (policy,) = [m["content"] or "" for m in Outline(page).every("meta") if m.get("http-equiv")]
    script = page.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_structure_serves_a_screen_reader(page: str) -> None:
    outline = Outline(page)
    names = [tag for tag, _ in outline.tags]
    for landmark in ("header", "nav", "main", "footer", "h1"):
        assert names.count(landmark) == 1
    assert outline.every("html")[0]["lang"] == "en"
    levels = [int(n[1]) for n in names if re.fullmatch("h[1-6]", n)]
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert names.count("caption") == names.count("table")
    assert all("scope" in t for t in outline.every("th"))
    assert all(i.get("alt") for i in outline.every("img"))
    assert all(s.get("aria-hidden") or s.get("aria-label") for s in outline.every("svg") if "x" not in s)
    ids = [a["id"] for _, a in outline.tags if "id" in a]
    assert len(ids) == len(set(ids))
    targets = {a["href"] for a in outline.every("a")}
    assert {t for t in targets if t} <= {f"#{i}" for i in ids}


def test_the_first_words_say_how_robust_under_what_and_against_what(page: str) -> None:
    text = re.sub(r"\s+", " ", re.sub("<[^>]+>", "", page.split("<main")[1].split('id="picture"')[0]))
    assert "is 87.5 % (74.8 to 95.3 %). gaussian noise, severity 5 takes 50.0 points (" in text
    assert "): 37.5 % are left. At PGD" in text
    assert "At PGD L∞, ε 0.1 it is left with 0.0 %, no better than guessing, which gives 20.0 % with 5 classes." in text
    assert "1 of 2 gates failed: worst_case &gt;= 0.5 (worst_case: 0.00 % " in text
    assert "1 sample left out: dir/&lt;b&gt;broken&lt;/b&gt;.png (cannot identify image file)" in text
    assert "on the same 48 images: better under 0, worse under" in text
    assert "2 reasons to doubt these figures" in text


def test_runs_beside_are_shown_or_said_to_be_absent(page: str) -> None:
    assert "other net: " in page
    assert "no run.json" in page


def test_the_figures_are_those_of_the_summary(make_run: Make) -> None:
    run = make_run(plan=[Entry(method="fog", severities=(1, 3))])
    page = render_html(report_page(build(run)))
    assert page.count("62.5\N{NO-BREAK SPACE}%") >= 2
    assert "worst natural" in page
    assert "on unchanged images, under all changes that need no attacker and under all changes; the weakest" in page
    assert '<td style="--fall:0.286" title="fog, severity 3: 62.5 %">62</td>' in page  # (7/8 - 5/8) / (7/8) = 2/7


def test_without_labels_the_page_speaks_of_the_same_prediction(make_run: Make) -> None:
    run = make_run(labelled=False)
    page = render_html(report_page(build(run)))
    assert "have no labels" in page
    assert "stay the same" in page
    assert 'id="classes"' not in page
    assert 'id="calibration"' not in page


@pytest.mark.parametrize(
    "options",
    [
        {"n": 0, "shards": 1, "plan": [], "pictures": 0, "flags": False, "cost": False},
        {"n": 1, "shards": 1, "bad": False},
        {"plan": [], "bad": False, "flags": False},
        {"plan": [Entry(method="translation", severities=(1,))], "pictures": 0},
        {"classes": ["no", "yes"], "channels": 3},
        {"classes": [f"class {i}" for i in range(40)], "n": 80},
    ],
)
def test_small_and_odd_runs_have_pages_too(make_run: Make, options: dict[str, Any]) -> None:
    run = make_run(**options)
    page = render_html(report_page(build(run)))
    assert "Robustness of small net" in page
    assert not re.search(r"\b(nan|inf)\b", re.sub('data:image[^"]+', "", page).lower())
    assert ">None<" not in page


def test_a_page_with_many_large_pictures_stays_small(make_run: Make) -> None:
    plan = [Entry(method=m, severities=(1, 2, 3, 4, 5)) for m in ("fog", "contrast", "pixelate", "brightness")]
    run = make_run(plan=plan, n=24, shards=1, side=224, channels=3, pictures=8, bad=False)
    page = render_html(report_page(build(run)))
    assert len(page.encode()) < LIMIT
    assert page.count("data:image/jpeg") >= 20 * 3


def test_a_comparison_is_a_page_too(make_run: Make) -> None:
    one, two = make_run("one", model_name=HOSTILE), make_run("two", shift=2.0, model_name="second")
    page = render_html(comparison_page(compare_runs([one, two])))
    assert HOSTILE not in page
    assert "▼ worse" in page
    assert "not shown" in page
    assert Outline(page).every("caption")


def test_a_change_stands_where_its_difference_is(make_run: Make) -> None:
    plan = [Entry(method="fog", severities=(3,))]
    (one,) = compare_runs([make_run("one", plan=plan), make_run("two", plan=plan, shift=2.0)]).runs
    block = difference_strips(one)
    assert block.ticks == ("−50", "0", "+50")  # the interval of -25 points ends beyond -20
    clean, fog = block.strips
    assert (clean.lanes[0].dots[0].x, clean.value, clean.lanes[0].tone) == (50, "+0.0", "level")
    assert (fog.name, fog.lanes[0].dots[0].x, fog.value, fog.lanes[0].tone) == ("fog, severity 3", 25, "-25.0", "worse")
    assert fog.lanes[0].low < 25 < fog.lanes[0].high < 50


def test_attacks_have_a_section_with_plots_tables_and_examples(page: str) -> None:
    section = page.split('id="attacks">')[1].split("<h2")[0]
    text = re.sub(r"\s+", " ", re.sub("<[^>]+>", "", section))
    assert "PGD L∞, ε 0.1: even broke 12 of 24, odd 12 more. 0.0 % are left after" in text.replace("\xa0", " ")
    outline = Outline(section)
    labels = [d["aria-label"] or "" for d in outline.every("div") if d.get("role") == "img"]
    assert any(label.startswith("L∞, ε 8/255. ") and "PGD L∞ from 62.5 %: even" in label for label in labels)
    assert any(label.startswith("L2. ") and "DeepFool, nearest examples: " in label for label in labels)
    assert "2. odd" in text
    assert "why &lt;script&gt;" in section
    assert "DeepFool L2" in text
    assert "PGD L∞, ε 0.1 6 of 6 that were kept" in text
    assert 'href="#attacks"' in page


def test_nearest_examples_are_no_condition_of_the_page_s_figures(page: str) -> None:
    figures = page.split("<caption>Every change")[1].split("</table>")[0]
    assert "DeepFool L2, ε\N{NO-BREAK SPACE}0.25" in figures
    assert "nearest" not in figures
    assert "spatial" in figures


def test_a_run_without_attacks_has_no_such_section(make_run: Make) -> None:
    run = make_run(plan=[Entry(method="fog", severities=(1, 3))], flags=False)
    page = render_html(report_page(build(run)))
    assert not [a for _, a in Outline(page).tags if "attacks" in (a.get("id"), (a.get("href") or "").lstrip("#"))]
    assert "Nearest examples" not in page


# In a browser.


@pytest.fixture
def opened(offline: Callable[..., Any], page: str) -> Callable[..., Any]:
    """Opens the page."""
    return partial(offline, page)


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 390, 768, 1200])
def test_the_page_loads_offline_in_silence_and_fits(opened: Any, width: int) -> None:
    tab, troubles = opened(width=width)
    tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    tab.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert troubles == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_colour_schemes(opened: Any, contrast: str, scheme: str) -> None:
    tab, _ = opened(scheme=scheme)
    tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert tab.evaluate(contrast) == []


@pytest.mark.browser
def test_the_colours_are_turned_by_keyboard(opened: Any) -> None:
    tab, _ = opened(scheme="light")
    colour = "getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(colour)
    button = tab.get_by_role("button", name="Dark mode")
    assert button.get_attribute("aria-pressed") == "false"
    for _ in range(30):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.id") == "theme":
            break
    tab.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    assert tab.evaluate(colour) != light
    tab.keyboard.press("Space")
    assert tab.evaluate(colour) == light


@pytest.mark.browser
def test_the_first_tab_skips_to_the_content(opened: Any) -> None:
    tab, _ = opened()
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the content"
    box = tab.locator(".skip").bounding_box()
    assert box["x"] >= 0


@pytest.mark.browser
def test_the_page_is_whole_without_scripts(opened: Any) -> None:
    tab, troubles = opened(java_script_enabled=False, scheme="dark")
    assert troubles == []
    assert not tab.locator("#theme").is_visible()
    assert tab.locator("h1").inner_text() == f"Robustness of net {HOSTILE}"


CUT = """() => {
  const cut = [], wide = document.documentElement.clientWidth;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, e = node.parentElement;
    if (!node.textContent.trim() || ['SCRIPT', 'TITLE'].includes(e.tagName.toUpperCase())) continue;
    if (e.closest('.hidden, .skip')) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const pane = e.closest('.scroll, nav'), card = e.closest('.card'), column = e.closest('td, th');
    const edge = card && !pane ? card.getBoundingClientRect() : {left: 0, right: wide};
    if (column && column.colSpan === 1 && pane && pane.scrollWidth > pane.clientWidth && column.offsetWidth > 300) {
      cut.push('wide: ' + node.textContent.trim().slice(0, 60));
      continue;
    }
    for (const box of range.getClientRects()) {
      const inside = pane || (box.left >= edge.left - 1 && box.right <= edge.right + 1);
      const cell = e.closest('.tilted') || e.closest('td, th');
      const held = cell ? cell.getBoundingClientRect() : null;
      const whole = !held || e.closest('svg') || (box.right <= held.right + 1 && box.bottom <= held.bottom + 1);
      if (!inside || (!whole && !e.closest('[title]'))) { cut.push(node.textContent.trim().slice(0, 60)); break; }
    }
  }
  return cut;
}"""
"""Text that leaves its card, its cell or the page, or makes a column too wide to be looked at."""


@pytest.fixture(scope="module")
def long_page(tmp_path_factory: pytest.TempPathFactory, write: Callable[..., RunDir]) -> str:
    """A page of a model, data and classes with very long names."""
    word = "donaudampfschifffahrtselektrizitaetenhauptbetriebswerkbauunterbeamtengesellschaft"
    folder = tmp_path_factory.mktemp("long")
    write(folder / "other", model_name=f"other-{word}", plan=[Entry(method="fog", severities=(1, 3))])
    run = write(
        folder / "run", model_name=f"net-{word}", data=f"folder:/data/{word}/{word}?split=test", view=word,
        classes=[f"{word} {i}" for i in range(4)], beside=["../other"], attacks=True,
    )  # fmt: skip
    summary = build(run)
    return render_html(report_page(summary, check_gates(["clean.accuracy >= 0.99"], summary.data)))


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_no_word_is_cut(offline: Callable[..., Any], long_page: str, width: int) -> None:
    tab, _ = offline(long_page, width=width)
    tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate(CUT) == []


@pytest.mark.browser
def test_every_plot_is_saved_as_it_stands_and_as_its_data(opened: Any, tmp_path: Any) -> None:
    from PIL import Image

    tab, troubles = opened(width=1280, accept_downloads=True)
    tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    drawn = tab.locator(".card.plot, .card:has(> table.strips), .scroll.heat, .scroll.matrix")
    assert 5 < drawn.count() == tab.locator(".saves").count()
    for kind in (".card:has(> table.strips)", ".card.plot", ".scroll.heat"):
        one = tab.locator(kind).first
        box, kept = one.bounding_box(), {}
        for way in ("SVG", "PNG", "CSV"):
            with tab.expect_download() as saved:
                one.get_by_role("button", name=f"Save as {way}").click()
            kept[way] = tmp_path / saved.value.suggested_filename
            saved.value.save_as(kept[way])
            assert kept[way].suffix == f".{way.lower()}"
        svg = ElementTree.parse(kept["SVG"]).getroot()
        words = " ".join("".join(t.itertext()) for t in svg.iter("{http://www.w3.org/2000/svg}text"))
        assert one.locator("caption, figcaption").inner_text().split()[0] in words
        assert "SVG" not in words
        assert "class=" not in kept["SVG"].read_text("utf-8")
        assert 0.9 * box["width"] < float(svg.attrib["width"]) < 1.5 * box["width"] + 40
        picture = Image.open(kept["PNG"]).convert("RGB")
        assert abs(picture.width - 2 * float(svg.attrib["width"])) <= 2
        assert picture.getpixel((3, 3)) == (255, 255, 255)
        assert len(picture.getcolors(1 << 24) or ()) > 20
        assert kept["CSV"].read_text("utf-8") == one.get_attribute("data-csv")
    assert [t for t in troubles if not t.startswith("blob:")] == []


@pytest.mark.browser
def test_what_saves_plots_is_neither_printed_nor_there_without_scripts(opened: Any) -> None:
    tab, _ = opened()
    tab.emulate_media(media="print")
    assert tab.evaluate("[...document.querySelectorAll('.saves')].every(e => !e.getClientRects().length)")
    tab, _ = opened(java_script_enabled=False)
    assert tab.locator(".saves").count() == 0


@pytest.mark.browser
def test_a_table_that_scrolls_says_so_and_another_does_not(opened: Any) -> None:
    tab, _ = opened(width=660)
    tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    hint = "getComputedStyle(e, '::before').display"
    scrolls = f"[...document.querySelectorAll('.scroll')].map(e => [e.scrollWidth > e.clientWidth, {hint}])"
    tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    found = tab.evaluate(scrolls)
    assert {wide for wide, _ in found} == {True, False}
    assert [wide for wide, _ in found] == [shown == "block" for _, shown in found]


@pytest.mark.browser
def test_tables_stack_their_rows_on_a_phone_and_cut_nothing(opened: Any) -> None:
    tab, _ = opened(width=390)
    tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    cut = "[...document.querySelectorAll('.scroll:has(.plain)')].filter(e => e.scrollWidth > e.clientWidth)"
    assert tab.evaluate(f"{cut}.map(e => e.innerText)") == []
    heads = "[...document.querySelectorAll('.stacked td')].map(e => getComputedStyle(e, '::before').content)"
    assert '"accuracy"' in tab.evaluate(heads)
    assert "none" not in tab.evaluate(heads)
    whole = "[...document.querySelectorAll('.interval')].every(e => !e.offsetHeight || e.getClientRects().length === 1)"
    assert tab.evaluate(whole)


@pytest.mark.browser
def test_the_first_screen_of_a_phone_has_what_nobody_should_miss(opened: Any) -> None:
    tab, _ = opened(width=390)
    boxes = [n.bounding_box() for n in tab.locator(".notices li").all()]
    assert len(boxes) == 3
    assert max(b["y"] + b["height"] for b in boxes) <= 844


@pytest.mark.browser
@pytest.mark.parametrize("scripts", [True, False])
def test_a_link_opens_the_part_that_it_names(opened: Any, scripts: bool) -> None:
    tab, troubles = opened(java_script_enabled=scripts)
    assert not tab.locator("#provenance").is_visible()
    tab.get_by_role("link", name="Provenance").click()
    tab.locator("#provenance").wait_for(state="visible")
    assert troubles == []


@pytest.mark.browser
def test_a_page_is_short_until_it_is_opened_and_its_menu_is_one_row(opened: Any) -> None:
    height = "document.documentElement.scrollHeight"
    tab, _ = opened(width=1280)
    before = tab.evaluate(height)
    assert before <= 4000
    button = tab.get_by_role("button", name="Open all")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert tab.locator("#provenance").is_visible()
    assert tab.evaluate(height) > before + 1000
    button.click()
    assert not tab.locator("#provenance").is_visible()
    phone, _ = opened(width=390)
    assert phone.locator("nav").bounding_box()["height"] <= 40


@pytest.mark.browser
@pytest.mark.parametrize("scripts", [True, False])
def test_what_is_printed_is_open(opened: Any, scripts: bool) -> None:
    tab, _ = opened(java_script_enabled=scripts)
    tab.emulate_media(media="print")
    box = tab.locator("#provenance dl").first.bounding_box()
    assert box is not None
    assert box["height"] > 100


def test_a_part_with_a_doubt_is_open_and_of_others_the_first() -> None:
    quiet, doubt = Prose("all is well"), Flags((Doubt("zero-gradient", "the input gradient is zero"),))

    def is_open(*parts: tuple[str, Block], of: str = "") -> list[bool]:
        blocks = [b for name, block in parts for b in (Heading(name, name, open=name == of), block)]
        text = render_html(Page("page", (Headline("Question?"), *blocks)))
        return ["open" in a for a in Outline(text).every("details") if a.get("class") == "part"]

    assert is_open(("a", quiet), ("b", quiet)) == [True, False]
    assert is_open(("a", quiet), ("b", quiet), ("c", doubt), of="b") == [False, True, True]
    assert (
        is_open(("a", quiet), ("b", Prose("no", "bad")), ("c", Items((Span("failed", "bad"),))), of="a") == [True] * 3
    )


@pytest.mark.browser
def test_a_matrix_keeps_its_classes_whole_and_in_sight(offline: Callable[..., Any], make_run: Make) -> None:
    names = [f"{kind} {n}" for kind in ("sneaker", "trouser", "pullover") for n in range(5)]
    tab, _ = offline(render_html(report_page(build(make_run(plan=[], classes=names, n=120)))), width=390)
    lines = "e => { const r = document.createRange(); r.selectNodeContents(e); return r.getClientRects().length; }"
    assert tab.evaluate(f"[...document.querySelectorAll('.matrix tbody th')].map({lines})") == [1] * 15
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tab.evaluate("document.querySelector('.scroll.matrix').scrollLeft = 1000")
    assert tab.locator(".matrix tbody th").first.bounding_box()["x"] >= 0


@pytest.mark.browser
def test_a_sentence_of_bad_news_is_no_wider_than_a_phone(offline: Callable[..., Any]) -> None:
    news = Span("the search did not finish: its budget left out most of what was planned. " * 3, "bad")
    tab, _ = offline(render_html(Page("page", (Headline("Question?", (news,)),))), width=390)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
