"""Certified shares by hand, and on the page."""

import json

import pytest
import torch

import unshaken
from unshaken.certify.engine.base import certificates
from unshaken.core.batch import Batch
from unshaken.core.errors import ParameterError
from unshaken.core.outcomes import outcomes
from unshaken.core.part import CLEAN, Condition
from unshaken.report import build, write_report
from unshaken.report.gates.rehearsal import check_planned
from unshaken.report.pages.runs import report_page
from unshaken.report.read.frame import read_frame
from unshaken.report.read.methods import read_methods
from unshaken.report.sections import Source
from unshaken.report.sections.certify import certified, certified_rows, chosen_size
from unshaken.run.record import installed, record_methods, record_steps
from unshaken.store.config import RunConfig
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

SMOOTH, ATTACK = Condition("smoothing-0.5", "smoothing"), "smoothing-attack"


def logits(*classes):
    return torch.nn.functional.one_hot(torch.tensor(classes), 2).float()


@pytest.fixture
def run(tmp_path):
    """Four samples: certified at 0.5, 1 (a wrong class), 1, and abstained; attacked at 0.75 and 1.5."""
    run, ids = RunDir(tmp_path / "run"), ["a", "b", "c", "d"]
    batch = Batch(torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 1, 0]), tuple(ids))
    plan = [
        {"method": "smoothing", "params": {"sigma": 0.5}},
        {"method": ATTACK, "params": {"sigma": 0.5}, "eps": [0.75, 1.5]},
    ]
    config = RunConfig(
        schema=1, model="x", data="y", plan=plan, ids=ids, shard_size=4, model_fingerprint="", data_fingerprint="",
        model_name="x", classes=["0", "1"],
    )  # fmt: skip
    run.write_json(config.to_json(), "run.json")
    part = certificates(
        SMOOTH,
        batch,
        radius=torch.tensor([0.5, 1.0, 1.0, 2.0]),
        norm="l2",
        prediction=torch.tensor([0, 1, 0, 0]),
        abstained=torch.tensor([False, False, False, True]),
        samples=torch.tensor([100, 200, 300, 400]),
        alpha=0.001,
        seconds=0.5,
        reason=[None, None, None, "top class got 60 of 100 votes: not shown"],
    )
    parts = [part, outcomes(CLEAN, batch, logits(0, 1, 1, 0)), outcomes(SMOOTH, batch, logits(0, 1, 0, 0))]
    for eps, answers, moved in ((0.75, (1, 1, 0, 0), (0.7, 0, 0, 0)), (1.5, (1, 1, 0, 1), (0.7, 0, 0, 1.2))):
        one = Condition(f"{ATTACK}-l2-{eps:g}", ATTACK, eps=eps, norm="l2")
        parts.append(outcomes(one, batch, logits(*answers), distance=torch.tensor(moved)))
    for p in parts:
        run.write_rows(table_of(p), p.table, p.condition.id, 0)
    return run, config


def figures(run):
    return certified(Source(*run, read_frame(*run), read_methods(run[1])))


def test_a_gate_asks_a_certificate_that_computes_its_reach_at_any_radius(run):
    texts = ["smoothing[radius=0.6].certified_accuracy <= 0.25", "smoothing-0.5[radius=0.6].certified_share >= 0.6"]
    for gates in (texts, ()):  # and again, when the report is made from what is there
        summary, found = write_report(run[0], gates=gates)
        assert [(g.state, g.value) for g in found] == [("held", 0.25), ("failed", 0.5)]
        assert 0.6 in [r["radius"] for r in summary["certified"][0]["radii"]]
    smoothing = run[1].plan[0]
    asked = smoothing.model_copy(update={"params": {"sigma": 0.5, "radii": "0.5"}})
    config, other = (
        run[1].model_copy(update={"methods": record_methods(known), "steps": record_steps(known)})
        for known, _ in (installed([smoothing]), installed([asked]))
    )
    check_planned(texts, config, [SMOOTH], labelled=True)
    with pytest.raises(ParameterError, match=r"no figure of 'smoothing' at this radius, but at 0, 0\.5"):
        check_planned(texts, other, [SMOOTH], labelled=True)


def test_shares_at_each_radius_by_hand(run):
    (one,) = figures(run)
    assert (one["condition"], one["norm"], one["alpha"], one["abstained"]["value"]) == (SMOOTH.id, "l2", 0.001, 0.25)
    # d abstained; at 0.5 a, b and c hold, c with a wrong class; at 1.0 b and c; attacked sizes stand between.
    found = [(r["radius"], r["certified_share"]["value"], r["certified_accuracy"]["value"]) for r in one["radii"]]
    assert found == [(0.0, 0.75, 0.5), (0.5, 0.75, 0.5), (0.75, 0.5, 0.25), (1.0, 0.5, 0.25), (1.5, 0.0, 0.0)]
    assert one["average_radius"] == pytest.approx((0.5 + 1.0) / 4)
    assert one["samples"] == {"mean": 250, "median": 250, "most": 400}
    assert one["seconds"] == 2
    assert one["reasons"] == {"top class got n of n votes: not shown": 1}


def test_the_three_figures_stand_beside_each_other_in_order(run):
    (one,) = figures(run)
    assert (one["clean"]["value"], one["base"]["value"]) == (0.5, 1.0)  # d abstained, so it is wrong
    assert [(a["radius"], a["accuracy"]["value"]) for a in one["attacked"]] == [(0.75, 0.25), (1.5, 0.25)]
    for _, accuracy, _, attacked in certified_rows(one):
        if attacked is not None:
            assert one["clean"]["value"] >= attacked["value"] >= accuracy["value"]
    assert one["broken"] == []


def test_an_example_inside_a_radius_is_told(run):
    place, config = run
    batch = Batch(torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 1, 0]), ("a", "b", "c", "d"))
    one = Condition(f"{ATTACK}-l2-0.75", ATTACK, eps=0.75, norm="l2")
    part = outcomes(one, batch, logits(0, 0, 0, 0), distance=torch.tensor([0.0, 0.7, 0.0, 0.0]))
    place.write_rows(table_of(part), part.table, one.id, 0)
    assert figures((place, config))[0]["broken"] == ["b"]
    write_report(place)
    text = "Contradicted: an example lies inside the certified radius of 1 sample."
    assert text in _page(place)
    assert text in place.read("report.md").decode()


def _page(run):
    return run.read("report.html").decode()


def test_page_and_text_show_it(run):
    write_report(run[0])
    page, text = _page(run[0]), run[0].read("report.md").decode()
    assert "Certified robustness" in page
    assert "certified and correct" in page
    assert "accuracy under attack" in page
    assert "250 votes a sample on average (half took 250 or fewer, the most 400)" in page
    assert "By strength" not in page  # nothing was done to the model itself
    assert "| 0.75 | 25.0 % (0.6 to 80.6 %) | 50.0 %" in text
    summary = json.loads(run[0].read("summary.json"))
    assert {c["group"] for c in summary["conditions"]} == {"certificate"}
    smooth = next(c for c in summary["conditions"] if c["condition"] == SMOOTH.id)
    assert (smooth["accuracy"]["value"], smooth["consistency"]["value"]) == (0.5, 0.5)  # d abstained
    answers = (
        "The certified classifier gives 50.0 % of the unchanged images their label, an abstention counted as wrong;"
    )
    assert f"{answers} base network, unchanged images: 100.0 %." in page.replace("\N{NO-BREAK SPACE}", " ")
    assert "<dt>base network, unchanged images</dt>" in page
    assert "<dt>certified classifier, unchanged images</dt>" in page
    assert summary["aggregates"]["worst_case"] is None or summary["aggregates"]["worst_case"]["value"] == 1.0


def test_a_run_without_certificates_has_none(run):
    place, _ = run
    place.fs.rm(place.at("rows", "certificates"), recursive=True)
    data, _ = write_report(place)
    assert data["certified"] == []
    assert "Certified" not in _page(place)


@pytest.mark.long
def test_a_certifier_in_a_plan_stands_on_the_page(tmp_path):
    plan = [{"method": "crop-selection", "severities": [1]}]
    result = unshaken.audit("demo:standard", "demo", plan, limit=40, out=tmp_path / "run")
    (one,) = result.summary["certified"]
    assert one["radii"][0]["certified_share"]["n"] == 40
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Certified robustness" in page
    assert "crop selection, severity 1" in page


def condition(sizes, *, clean=0.8, attacked=()):
    radii = [{"radius": r, "certified_accuracy": {"value": v}, "certified_share": {"value": v}} for r, v in sizes]
    return {"clean": {"value": clean}, "radii": radii, "attacked": [{"radius": r} for r in attacked]}


@pytest.mark.parametrize(
    ("one", "size"),
    [
        (condition([(0.1, 0.7), (0.2, 0.4), (0.3, 0.1)]), 0.2),  # the last that keeps half of 0.8
        (condition([(0.1, 0.3), (0.2, 0.1)]), 0.1),  # none does: the smallest
        (
            condition([(0.1, 0.7), (0.17, 0.5), (0.25, 0.3)], attacked=(0.1, 0.25, 9.0)),
            0.1,
        ),  # a size that was asked for
        (condition([(0.0, 0.7)]), None),
        (condition([]), None),
    ],
)
def test_one_size_stands_for_a_certificate(one, size):
    found, figure = chosen_size(one)
    assert (found if figure else None) == size


def test_the_first_screen_has_the_certificate(run):
    write_report(run[0])
    first = _page(run[0]).split("<main")[1].split("<h2")[0].replace("\N{NO-BREAK SPACE}", " ")
    assert "Proven: <strong>25.0 %</strong> (0.6 to 80.6 %) of the images are classified correctly under" in first
    assert "change of L2 size 0.75 or less (smoothing 0.5, which classifies 50.0 % correctly unchanged)." in first
    assert "<dt>proven correct within L2 size 0.75</dt>" in first
    assert "Proven: **25.0 %**" in run[0].read("report.md").decode()


def test_the_first_screen_says_what_is_ruled_out(run, first_screen):
    text = first_screen(report_page(build(run[0])))
    assert text.startswith("What can be ruled out for x?")
    assert "Proven: 25.0 % (0.6 to 80.6 %) of the images are classified correctly under every change of L2" in text
    assert "--not-attacked" not in text  # it was attacked
