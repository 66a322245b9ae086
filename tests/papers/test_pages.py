import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from unshaken.papers import write_table
from unshaken.papers.frame.page_figures import MOST, Shown, checks_of, choose_figures, effect_of
from unshaken.papers.frame.page_picture import draw_figures, drawable

DOCS = Path(__file__).parents[2] / "docs"
SVG = "{http://www.w3.org/2000/svg}"


def figure(value, width=0.05):
    return {
        "value": value,
        "low": value - width,
        "high": value + width,
        "n": 500,
        "interval": "clopper-pearson 95%",
    }


def result(**changes):
    fields = {
        "slug": "some-paper",
        "title": "Some Paper",
        "claim": "Guarded networks resist; plain ones do not.",
        "measured": {
            "seed0.plain.attacked": figure(0.123),
            "seed0.guarded.attacked": figure(0.456),
            "seed1.guarded.attacked": figure(0.456),
            "gain": figure(0.333),
            "forwards": 40,
            "passes": 37.5,
            "layer": "a|b",
            "verdict": True,
            "loss": {"value": None, "low": None, "high": None, "n": 0, "interval": "none"},
        },
        "expected": {"rule": "The gain is above 0.1.", "gain": "0.3 (pilot)", "published": "40 %"},
        "reproduced": True,
        "data": "demo",
        "model": "demo:standard",
        "seed": 3,
        "seconds": 90.0,
        "note": "Held: guarded attacked 0.456; the gain is 0.333 (0.1 needed). Small nets. No GPU was used.",
    }
    return {**fields, **changes}


def shown(name, value, low=None, high=None, expected=""):
    return Shown(name, value, low, high, None, "", expected)


def pages(tmp_path, *results):
    kept = tmp_path / "papers"
    kept.mkdir(exist_ok=True)
    for r in results:
        (kept / f"{r['slug']}.json").write_text(json.dumps(r))
    return write_table(kept, tmp_path / "papers.md"), kept


def test_figures_that_the_verdict_quotes_come_first():
    assert [f.name for f in choose_figures(result())] == [
        "seed0.guarded.attacked",
        "gain",
        "seed0.plain.attacked",
        "passes",
        "forwards",
    ]


def test_a_result_may_name_its_figures_itself():
    assert [f.name for f in choose_figures(result(headline=["passes", "absent", "gain"]))] == ["passes", "gain"]


def test_a_page_shows_ten_figures_at_most(tmp_path):
    many = {f"n{i}": figure(0.001 * i + 0.1) for i in range(50)}
    quoted = "; ".join(f"n{i} is {0.001 * i + 0.1:.3f}" for i in range(50))
    r = result(measured=many, note=f"Held: {quoted}.")
    assert len(choose_figures(r)) == MOST
    _, folder = pages(tmp_path, r)
    assert (folder / "some-paper.md").read_text().count("\n| `") == MOST


def test_the_note_is_split_into_parts_and_remarks():
    note = "Did not hold: at 0.05 it fell; so did b. Held: c, 1.38. cnn: 4. More."
    assert checks_of(note) == ([(False, "at 0.05 it fell"), (False, "so did b"), (True, "c, 1.38")], "cnn: 4. More.")
    assert checks_of("A remark alone.") == ([], "A remark alone.")


def test_the_effect_is_the_first_figure_that_compares():
    rate, gain, bare = shown("rate", 0.5, 0.4, 0.6), shown("gain", 0.1, 0.0, 0.2), shown("clean_drop", 0.3)
    assert effect_of([bare, rate, gain]) is gain
    assert effect_of([rate, bare]) is bare
    assert effect_of([shown("x", 1.0), rate]) is rate
    assert effect_of([]) is None


def test_the_table_has_a_line_a_row(tmp_path):
    text, _ = pages(tmp_path, result(), result(slug="other", reproduced=False, seconds=12.0, claim="word " * 60))
    lines = [line for line in text.splitlines() if line.startswith("| [")]
    claim = " ".join(["word"] * 19)
    assert lines == [
        f"| [other](papers/other.md) | {claim} … | not reproduced | 0.333 (0.283 to 0.383), gain | under 1 |",
        "| [some-paper](papers/some-paper.md) | Guarded networks resist; plain ones do not. | reproduced "
        "| 0.333 (0.283 to 0.383), gain | 2 |",
    ]
    assert "1 of 2 are reproduced." in text


def test_a_page_has_claim_verdict_picture_figures_differences_and_command(tmp_path):
    failed = result(reproduced=False, note="Did not hold: a. Held: b. Small nets. No GPU was used.")
    _, folder = pages(tmp_path, failed)
    lines = (folder / "some-paper.md").read_text().splitlines()
    for line in (
        "**Claim.** Guarded networks resist; plain ones do not.",
        "**Verdict: not reproduced.** 1 of 2 parts of the rule failed.",
        "- did not hold: a",
        "- held: b",
        "![Measured figures with their intervals, and what was expected](some-paper.svg)",
        "| `gain` | 0.333 | 0.283 to 0.383 | 500 | 0.3 (pilot) |",
        "- Here: data `demo`, model `demo:standard`, seed 3.",
        "- Published: 40 %.",
        "- Small nets.",
        "- No GPU was used.",
        "unshaken papers run some-paper",
        "It took 1.5 minutes. All 9 figures: [some-paper.json](some-paper.json).",
    ):
        assert line in lines


def test_pages_of_results_that_are_gone_go_too_and_others_stay(tmp_path):
    _, folder = pages(tmp_path, result(), result(slug="gone"))
    (folder / "gone.json").unlink()
    (folder / "by-hand.md").write_text("# Written by hand\n")
    write_table(folder, tmp_path / "papers.md")
    assert {path.name for path in folder.iterdir()} == {
        "some-paper.json",
        "some-paper.md",
        "some-paper.svg",
        "by-hand.md",
    }


def test_a_result_without_figures_has_a_page_without_a_picture(tmp_path):
    _, folder = pages(tmp_path, result(measured={"layer": "last"}))
    assert not (folder / "some-paper.svg").exists()
    assert "## Figures" not in (folder / "some-paper.md").read_text()


def test_the_picture_puts_values_intervals_and_expectations_on_one_axis():
    root = ET.fromstring(draw_figures([shown("a<b", 0.5, 0.25, 0.75, "1.0 (pilot)"), shown("c", 0.0)]))
    dots = [float(dot.get("cx")) for dot in root.iter(f"{SVG}circle")][1:]  # the first is the legend's
    bar = [line for line in root.iter(f"{SVG}line") if line.get("class") == "bar"][1]
    left, right = 16, 364
    assert dots == [(left + right) / 2, left]
    assert (float(bar.get("x1")), float(bar.get("x2"))) == (left + 87, right - 87)
    diamond = [path.get("d") for path in root.iter(f"{SVG}path")][-1]
    assert diamond.startswith(f"M{right}.0 ")
    assert "a<b" in [text.text for text in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("values", [[0.0], [-3.0], [1e-9, 2e-9], [123456.0, 2.0]])
def test_any_values_can_be_drawn(values):
    root = ET.fromstring(draw_figures([shown("x", value) for value in values]))
    assert all(16 <= float(dot.get("cx")) <= 364 for dot in root.iter(f"{SVG}circle"))
    ticks = [text for text in root.iter(f"{SVG}text") if text.get("class") == "small"][1:]
    assert 1 <= len(ticks) <= 7


def test_figures_on_another_scale_are_left_out_of_the_picture():
    a, b, c = shown("a", 0.4), shown("b", 0.2, 0.1, 0.3), shown("passes", 40.0)
    assert drawable([a, c, b]) == [a, b]
    assert drawable([c]) == [c]


def test_committed_pages_are_those_of_the_committed_results(tmp_path):
    for path in (DOCS / "papers").glob("*.json"):
        (tmp_path / "papers").mkdir(exist_ok=True)
        (tmp_path / "papers" / path.name).write_bytes(path.read_bytes())
    write_table(tmp_path / "papers", tmp_path / "papers.md")
    written = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.suffix in {".md", ".svg"}]
    stale = [str(path) for path in written if (DOCS / path).read_bytes() != (tmp_path / path).read_bytes()]
    assert not stale, "run `unshaken papers table`"
