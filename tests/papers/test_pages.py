import contextlib
import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from unshaken.core.errors import DataError
from unshaken.papers import PaperResult, write_table
from unshaken.papers.claim import Outcome
from unshaken.papers.folders import find_row, row_folders
from unshaken.papers.pages import MOST, OUTDATED, PageFigure, draw_figures, drawable, shown_figures
from unshaken.papers.table import judge_again

ROOT = Path(__file__).parents[2]
ROWS = ROOT / "src" / "unshaken_papers"
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
            "seed0.guarded.attacked": figure(0.4),
            "seed1.guarded.attacked": figure(0.5, 0.1),
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
        "note": "Held: a; b. Seen on one machine.",
        "scale": "full",
        "summary": "Guarded networks resist.",
        "headline": [
            {"name": "gain", "title": "Gain by guards", "unit": "accuracy"},
            {"name": "seed*.guarded.attacked", "title": "Guarded | attacked", "unit": "accuracy"},
            {"name": "absent", "title": "Not measured", "unit": "accuracy"},
            {"name": "passes", "title": "Passes an image", "unit": "passes"},
        ],
        "differs": ["Small nets.", "No GPU was used."],
        "checks": [{"words": "a", "holds": True}, {"words": "b", "holds": True}],
        "remark": "Seen on one machine.",
    }
    return {**fields, **changes}


def part(name, **changes):
    """A part of a claim as a result keeps it."""
    usual = {"statement": f"The {name} is there.", "rule": "By its interval.", "outcome": "shown"}
    return {"name": name, **usual, **changes}


def shown(title, value, low=None, high=None, expected="", unit=""):
    return PageFigure(title, unit, value, low, high, expected=expected)


def figures(**changes):
    return shown_figures(PaperResult(**result(**changes)))


def pages(tmp_path, *results):
    kept = tmp_path / "papers"
    for r in results:
        folder = kept / r["slug"].replace("-", "_")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").write_text(json.dumps(r))
    return write_table(kept, tmp_path / "papers.md"), folder


def test_a_result_names_its_figures():
    assert [(f.title, f.unit, f.value) for f in figures()] == [
        ("Gain by guards", "accuracy", 0.333),
        ("Guarded | attacked", "accuracy", 0.45),
        ("Passes an image", "passes", 37.5),
    ]


def test_a_figure_of_every_seed_is_their_mean_with_the_outermost_ends():
    both = figures()[1]
    assert (both.low, both.high, both.n) == (pytest.approx(0.35), pytest.approx(0.6), 2)
    assert both.interval == "outermost ends of the intervals of 2 seeds"
    bare = figures(measured={"seed0.guarded.attacked": 0.2, "seed1.guarded.attacked": 0.4})[0]
    assert (bare.value, bare.low, bare.high) == (pytest.approx(0.3), 0.2, 0.4)
    (one,) = figures(measured={"seed0.guarded.attacked": figure(0.4)})
    assert (one.n, one.interval) == (500, "clopper-pearson 95%")


def test_of_a_result_that_names_none_what_was_expected_comes_first():
    assert [f.title for f in figures(headline=[])] == [
        *("gain", "seed0.plain.attacked", "seed0.guarded.attacked", "seed1.guarded.attacked", "passes", "forwards")
    ]


def test_a_page_shows_ten_figures_at_most(tmp_path):
    many = {f"n{i}": figure(0.001 * i + 0.1) for i in range(50)}
    named = [{"name": name, "title": f"Figure {name}", "unit": "accuracy"} for name in many]
    _, folder = pages(tmp_path, result(measured=many, headline=named))
    assert (folder / "README.md").read_text().count("\n| Figure") == MOST


def test_the_table_has_a_line_a_row(tmp_path):
    parts = [part("gain"), part("cost", outcome="contradicted"), part("scale", outcome="not tried")]
    other = result(slug="other", reproduced=False, seconds=12.0, summary="", parts=parts, scale="quick")
    text, _ = pages(tmp_path, result(), other)
    lines = [line for line in text.splitlines() if line.startswith("| [")]
    effect = "Gain by guards: 0.333 (0.283 to 0.383) accuracy"
    other = "[other](papers/other/README.md) | Guarded networks resist; plain ones do not."
    assert lines == [
        f"| {other} | not reproduced (quick scale) | "
        f"1 of 3; contradicted: cost; not tried: scale | {effect} | under 1 |",
        f"| [some-paper](papers/some_paper/README.md) | Guarded networks resist. | reproduced |  | {effect} | 2 |",
    ]
    assert "1 of 2 are reproduced." in text


def test_a_page_has_claim_verdict_picture_figures_differences_and_command(tmp_path):
    checks = [
        {"words": "a", "holds": True, "part": "gain"},
        {"words": "b", "holds": False, "part": "gain"},
        {"words": "c", "holds": False, "part": "cost", "opposed": True},
    ]
    parts = [
        part("gain", outcome="not visible at this scale", smallest=0.0421),
        part("cost", outcome="contradicted", central=False),
        part("scale", outcome="not tried", rule="", untried="It needs a larger machine."),
    ]
    _, folder = pages(tmp_path, result(reproduced=False, checks=checks, parts=parts))
    lines = (folder / "README.md").read_text().splitlines()
    for line in (
        "**Claim.** Guarded networks resist; plain ones do not.",
        "**Verdict: not reproduced.** Of 3 parts of the claim: 1 contradicted, 1 not visible at this scale, "
        "1 not tried. Gain by guards: 0.333 (0.283 to 0.383) accuracy.",
        "1. The gain is there. **Not visible at this scale**.",
        "   Rule: By its interval.",
        "   A value of 0.0421 would have been shown in four of five repetitions.",
        "   - held: a",
        "   - did not hold: b",
        "2. The cost is there. **Contradicted** (beside the title's claim).",
        "   - **shows the opposite**: c",
        "   Not tried: It needs a larger machine.",
        "![Measured figures with their intervals](picture.svg)",
        "| Gain by guards | 0.333 | 0.283 to 0.383 | 500 | accuracy | 0.3 (pilot) |",
        "| Guarded \\| attacked | 0.45 | 0.35 to 0.6 | 2 | accuracy |  |",
        "- Here: data `demo`, model `demo:standard`, seed 3, full scale.",
        "- Published: 40 %.",
        "- Small nets.",
        "- No GPU was used.",
        "Seen on one machine.",
        "unshaken papers run some-paper --scale full --seed 3",
        "It took 1.5 minutes. All 9 figures: [result.json](result.json).",
    ):
        assert line in lines


def test_a_page_says_how_a_run_with_parameters_of_its_own_is_repeated(tmp_path):
    kept = json.loads((ROWS / "dverge" / "result.json").read_text())
    parameters = find_row("dverge")().model_dump(mode="json") | {"seeds": 7, "steps": 9}
    kept |= {"scale": None, "provenance": kept["provenance"] | {"parameters": parameters}}
    (tmp_path / "dverge").mkdir()
    (tmp_path / "dverge" / "result.json").write_text(json.dumps(kept))
    write_table(tmp_path, tmp_path / "papers.md")
    page = (tmp_path / "dverge" / "README.md").read_text()
    assert f"unshaken papers run dverge:seeds=7,steps=9 --seed {kept['seed']}" in page.splitlines()


def test_a_page_names_the_code_and_the_machine_of_every_session(tmp_path):
    known = {"unshaken": "0.1.0", "torch": "2.9.0", "platform": "Linux", "threads": 1}
    sessions = [
        {"date": "2026-01-01T10:00:00+00:00", **known},
        {"date": "2026-01-02T10:00:00+00:00", **known, "commit": "abc-dirty", "processor": "Some CPU, AVX2"},
        {"date": "2026-01-02T11:00:00+00:00", **known, "commit": "abc-dirty", "processor": "Some CPU, AVX2"},
    ]
    _, folder = pages(tmp_path, result(provenance={"sessions": sessions}))
    assert [line for line in (folder / "README.md").read_text().splitlines() if line.startswith("Made on")] == [
        "Made on 2026-01-01 by unshaken 0.1.0, torch 2.9.0, on Linux, threads: 1.",
        "Made on 2026-01-02 by unshaken 0.1.0, commit abc-dirty, torch 2.9.0, on Some CPU, AVX2, threads: 1.",
    ]


def test_a_row_that_is_gone_leaves_the_table_and_other_files_stay(tmp_path):
    _, folder = pages(tmp_path, result(), result(slug="gone"))
    shutil.rmtree(folder)
    kept = tmp_path / "papers" / "some_paper"
    (kept / "by-hand.md").write_text("# Written by hand\n")
    text = write_table(tmp_path / "papers", tmp_path / "papers.md")
    assert "gone" not in text
    assert {path.name for path in kept.iterdir()} == {"result.json", "README.md", "picture.svg", "by-hand.md"}


def test_a_result_without_figures_has_a_page_without_a_picture(tmp_path):
    _, folder = pages(tmp_path, result(measured={"layer": "last"}, headline=[]))
    assert not (folder / "picture.svg").exists()
    assert "## Figures" not in (folder / "README.md").read_text()


def test_the_picture_puts_values_intervals_and_expectations_on_one_axis():
    root = ET.fromstring(draw_figures([shown("a<b", 0.5, 0.25, 0.75, "1.0 (pilot)"), shown("c", 0.0)]))
    dots = [float(dot.get("cx")) for dot in root.iter(f"{SVG}circle")][1:]  # the first is the legend's
    bar = [line for line in root.iter(f"{SVG}line") if line.get("class") == "bar"][1]
    left, right = 16, 504
    assert dots == [(left + right) / 2, left]
    assert (float(bar.get("x1")), float(bar.get("x2"))) == (left + 122, right - 122)
    diamond = [path.get("d") for path in root.iter(f"{SVG}path")][-1]
    assert diamond.startswith(f"M{right}.0 ")
    assert "a<b" in [text.text for text in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("values", [[0.0], [-3.0], [1e-9, 2e-9], [123456.0, 2.0]])
def test_any_values_can_be_drawn(values):
    root = ET.fromstring(draw_figures([shown("x", value) for value in values]))
    assert all(16 <= float(dot.get("cx")) <= 504 for dot in root.iter(f"{SVG}circle"))
    ticks = [text for text in root.iter(f"{SVG}text") if text.get("class") == "small"][1:]
    assert 1 <= len(ticks) <= 8


def test_the_picture_has_the_most_common_unit():
    a, b, c = shown("a", 0.4, unit="accuracy"), shown("b", 0.2, unit="accuracy"), shown("passes", 40.0, unit="passes")
    assert drawable([c, a, b]) == [a, b]
    assert drawable([c, a]) == [c]


@pytest.mark.parametrize("slug", sorted(row_folders()))
def test_every_row_says_in_plain_words_what_its_page_shows(slug):
    paper, folder = find_row(slug), row_folders()[slug]
    result = PaperResult.model_validate_json((folder / "result.json").read_text())
    assert 0 < len(paper.summary) <= 100
    assert 0 < len(paper.headline) <= MOST
    assert all(len(title) <= 64 and "_" not in title and unit for title, unit in paper.headline.values())
    if OUTDATED in (folder / "README.md").read_text():
        with pytest.raises(DataError, match="run it again"):
            judge_again(result, paper)
        return
    assert [h.name for h in result.headline] == list(paper.headline)
    figures = shown_figures(result)
    lacking = [part.name for part in result.parts if part.outcome == Outcome.NOT_TRIED and not part.untried]
    if lacking:  # parts of now that this run did not try, such as those of a package that was absent
        assert figures
    else:
        assert len(figures) == len(paper.headline), "a figure of the page was not measured"


def test_committed_pages_are_those_of_the_committed_results(tmp_path):
    kept, table = tmp_path / "src" / "unshaken_papers", tmp_path / "docs" / "papers.md"
    for path in ROWS.glob("*/result.json"):
        (kept / path.parent.name).mkdir(parents=True)
        shutil.copy(path, kept / path.parent.name)
    with contextlib.suppress(DataError):  # results of an earlier form of a row, of which their pages tell
        write_table(kept, table)
    written = [path.relative_to(tmp_path) for path in (*kept.rglob("*"), table) if path.suffix in {".md", ".svg"}]
    stale = [str(path) for path in written if (ROOT / path).read_bytes() != (tmp_path / path).read_bytes()]
    assert not stale, "run `unshaken papers table`"
