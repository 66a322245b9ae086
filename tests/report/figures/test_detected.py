"""Figures of detectors by hand, and on page, text, terminal and gates."""

import json
import math
import re

import jsonschema
import numpy as np
import pytest
import torch

from unshaken.core.batch import Batch
from unshaken.core.errors import ParameterError, RunError
from unshaken.core.flag import KINDS, Flag
from unshaken.core.outcomes import outcomes
from unshaken.core.part import CLEAN, Condition, Part
from unshaken.detect.engine.rows import scores as score_rows
from unshaken.detect.engine.screen import DetectorScores
from unshaken.report import write_report
from unshaken.report.blocks import Group, is_bad, plain
from unshaken.report.figures.detected import detected
from unshaken.report.gates import Gate, check_gates
from unshaken.report.pages.runs import report_page
from unshaken.report.read.scores import RunScores, Scores
from unshaken.report.sections import _detectors
from unshaken.report.sections import _detectors as detectors_of
from unshaken.report.sections._detectors import by_auroc, galleries
from unshaken.report.summary import build, schema
from unshaken.report.write import make_report
from unshaken.run.shard import write_flags
from unshaken.store.config import UNFINISHED, RunConfig
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

EPS = 8 / 255
NORMAL = {"knn": [1.0, 2.0, 3.0, 4.0], "msp": [1.0, 2.0, 3.0, 9.0]}
FAR = {"knn": [3.0, 5.0], "msp": [0.0, 9.0]}
NOISE = {"knn": [2.0, 2.0, 5.0, 6.0], "msp": [1.0, 2.0, 3.0, 9.0]}
THRESHOLD = {"knn": 3.5, "msp": 4.0}


def logits(*classes):
    return torch.nn.functional.one_hot(torch.tensor(classes), 2).float() * 4


def scored(values, forwards=0, seconds=0.002):
    n = len(values)
    spent = [torch.full((n,), k) for k in (forwards, forwards // 2)]
    return DetectorScores(
        torch.tensor(values, dtype=torch.float64), *spent, torch.full((n,), seconds, dtype=torch.float64)
    )


def batch_of(n, prefix, labelled=True):
    images = torch.linspace(0, 1, n * 64).view(n, 1, 8, 8)
    return Batch(images, torch.tensor([0, 1] * n)[:n] if labelled else None, tuple(f"{prefix}{i}" for i in range(n)))


def write(run, condition, table):
    run.write_rows(table_of(table), table.table, condition.id, 0)


def start(path, ids, plan, inside=(), data="own"):
    run = RunDir(path)
    config = RunConfig(
        schema=1, model="x", data=data, plan=plan, ids=list(ids), shard_size=len(ids), model_fingerprint="",
        data_fingerprint=data, model_name="small net", classes=["shirt", "boot"], inside=list(inside),
    )  # fmt: skip
    run.write_json(config.to_json(), "run.json")
    return run


def screening(detectors, **more):
    params = {"folder": "d", "digest": "0", "detectors": "+".join(detectors), "accept": 0.75, **more}
    return [{"method": "screening", "params": params}]


def screened(run, batch, z, sets, detectors, *, forwards=0):
    """The rows of one run: each detector's scores of each split, and its answers on the first."""
    write(run, CLEAN, outcomes(CLEAN, batch, z))
    for label in detectors:
        condition = Condition(label, "screening")
        parts = [
            score_rows(condition, label, own, scored(values[label], forwards), split=split,
                       threshold=THRESHOLD[label], logits=answers)
            for split, own, values, answers in sets
        ]  # fmt: skip
        columns = {k: [v for p in parts for v in p.columns[k]] for k in parts[0].columns if k != "label"}
        if all("label" in p.columns for p in parts):
            columns["label"] = [v for p in parts for v in p.columns["label"]]
        write(run, condition, Part("scores", condition, columns))
        write(run, condition, outcomes(condition, batch, z))
        run.write_examples(batch.images, list(batch.ids), label, 0)


def evaded(run, batch, detectors, past, *, wrong=(1, 1, 1, 0)):
    """The rows of an attack: who is past under each kind, and whose class is wrong."""
    write(run, CLEAN, outcomes(CLEAN, batch, logits(0, 1, 0, 1)))
    for label in detectors:
        for kind in ("naive", "adaptive"):
            condition = Condition(f"{label}-{kind}-linf-{EPS:.6g}", "evasion", eps=EPS, norm="linf")
            z = logits(*[int(t) ^ w for t, w in zip(batch.labels, wrong, strict=True)])
            write(run, condition, score_rows(condition, label, batch, scored([1.0] * 4), threshold=4.0,
                                             split=f"{kind}/linf-{EPS:.6g}", logits=z))  # fmt: skip
            part = outcomes(condition, batch, z, distance=torch.full((4,), EPS))
            part.columns["correct"] = [not p for p in past[label, kind]]
            write(run, condition, part)


PAST = {
    ("knn", "naive"): (1, 0, 0, 0),
    ("knn", "adaptive"): (1, 1, 1, 0),
    ("msp", "naive"): (1, 1, 0, 0),
    ("msp", "adaptive"): (1, 1, 0, 0),
}


def make(path, *, detectors=("knn", "msp"), labelled=True, inside=True, normal=NORMAL, far=FAR):
    """Four normal samples, two far ones, the four under noise; and attacks on the four."""
    batch, plan = batch_of(4, "n", labelled), screening(detectors)
    run = start(path, batch.ids, plan, ["against/far-cifar", "evasion"] if inside else [])
    z = logits(0, 1, 0, 0)  # the last is wrong
    screened(run, batch, z, [("normal", batch, normal, z), ("covariate/fog-3", batch, NOISE, z)], detectors, forwards=2)
    if inside:
        other = batch_of(2, "f", labelled=False)
        there = start(f"{path}/against/far-cifar", other.ids, screening(detectors, split="far/cifar"), data="cifar")
        screened(there, other, logits(0, 0), [("far/cifar", other, far, logits(0, 0))], detectors)
        write_flags(there, "start", 0, [Flag("normalisation", "the other images differ")])
        mine = batch_of(4, "n")
        params = {"folder": "d", "digest": "0", "detectors": "+".join(detectors)}
        plan = [{"method": "evasion", "params": params, "eps": [EPS], "norm": "linf"}]
        there = start(f"{path}/evasion", mine.ids, plan)
        evaded(there, mine, detectors, PAST)
        write_flags(there, "evasion", 0, [Flag("detector-without-gradient", "knn: no gradient")])
    return run


@pytest.fixture
def run(tmp_path):
    return make(tmp_path / "run")


def summary_of(run):
    data = build(run).data
    jsonschema.Draft202012Validator(schema()).validate(json.loads(json.dumps(data, allow_nan=False)))
    return data


def test_figures_by_hand(run):
    data = summary_of(run)
    knn, msp = data["detection"]
    assert [knn["condition"], msp["condition"]] == ["knn", "msp"]
    assert (knn["method"], knn["accept"], knn["n"]) == ("knn", 0.75, 4)
    assert knn["accepted"]["value"] == 0.75  # 1, 2 and 3 are at most 3.5
    assert knn["boundary"] == {"accepted_up_to": 3.0, "flagged_from": 4.0}
    far, fog = knn["groups"]
    assert (far["group"], far["name"], far["n"]) == ("far", "cifar", 2)
    # Of the 8 pairs with 3 and 5: 3 is above 1 and 2, ties with 3, is below 4; 5 is above all.
    assert far["auroc"]["value"] == (2 + 0.5 + 4) / 8
    assert far["flagged"]["value"] == 0.5
    # 95 % of four normal are all four: the threshold is 4, and of 3 and 5 one is let in.
    assert far["fpr95_id_accept"]["value"] == 0.5
    # 95 % of two are both: they are flagged from 3 on, with 3 and 4 of the four normal.
    assert far["fpr95_ood_recall"]["value"] == 0.5
    # The best threshold lies between 4 and 5: half of (4/4 + 1/2).
    assert far["detection_accuracy"]["value"] == 0.75
    assert far["aupr_abnormal"]["baseline"] == pytest.approx(2 / 6)
    # From the top: 5 abnormal, 4 normal, 3 tied with a normal: 1/2 * 1/1 + 1/2 * 2/4.
    assert far["aupr_abnormal"]["figure"]["value"] == pytest.approx(0.75)
    # 2, 2, 5, 6 against 1, 2, 3, 4: each 2 is above 1 and ties once, 5 and 6 are above all four.
    assert (fog["group"], fog["auroc"]["value"]) == ("covariate", (1.5 + 1.5 + 4 + 4) / 16)
    assert [(m["group"], m["sets"], m["auroc"]["value"]) for m in knn["means"]] == [
        ("far", 1, 6.5 / 8),
        ("covariate", 1, 11 / 16),
    ]
    assert knn["auroc"] == far["auroc"]  # a shift of the own images does not rank detectors
    assert knn["cost"] == {"forwards": 2, "backwards": 1, "milliseconds": pytest.approx(2)}
    assert knn["errors"] == []
    assert msp["auroc"]["value"] == (0 + 3 + 0.5) / 8


def test_the_model_where_it_answers_only_what_is_let_in(run):
    knn, _ = summary_of(run)["detection"]
    selective = knn["selective"]
    assert (selective["n"], selective["accuracy"]["value"], selective["accuracy_accepted"]["value"]) == (4, 0.75, 1.0)
    assert selective["aurc"]["value"] == pytest.approx((0 + 0 + 0 + 1 / 4) / 4)


def test_who_gets_past_by_hand(run):
    knn, msp = summary_of(run)["detection"]
    (one,) = knn["attacked"]
    assert (one["norm"], one["eps"], one["n"]) == ("linf", pytest.approx(EPS), 4)
    assert (one["naive"]["past"]["value"], one["adaptive"]["past"]["value"]) == (0.25, 0.75)
    assert one["naive"]["wrong"]["value"] == 0.75
    assert msp["attacked"][0]["adaptive"]["past"]["value"] == 0.5


def test_each_group_has_a_best_and_pairs_with_it_and_with_the_softmax_baseline(run):
    data = summary_of(run)
    knn, msp = ({m["group"]: m for m in d["means"]} for d in data["detection"])
    assert knn["far"]["best"] == {"detector": "knn", "difference": None}
    assert msp["far"]["best"]["detector"] == "knn"
    assert msp["far"]["best"]["difference"]["value"] == pytest.approx(3.5 / 8 - 6.5 / 8)
    assert msp["far"]["softmax"] == {"detector": "msp", "difference": None}
    assert knn["far"]["softmax"]["difference"]["value"] == pytest.approx(6.5 / 8 - 3.5 / 8)
    assert [m["group"] for m in data["detection"][0]["means"]] == ["far", "covariate"]
    table = detectors_of.differences(data)
    assert [row if isinstance(row, Group) else plain(row[1].text) for row in table.rows[:3]] == [
        Group("far"), "itself", "-0.375"
    ]  # fmt: skip
    far, shift, attack = map(plain, detectors_of.group_lines(data))
    assert far.startswith("far: best of 2 is knn, AUROC 0.812 (")
    assert far.endswith("; msp may be as good; below 0.5, ranked the wrong way round: msp at cifar 0.438.")
    assert shift.startswith("shift: ")
    assert attack.startswith("attack, L∞ ε 8/255: past the model and msp 50.0 % (")
    assert attack.endswith("of the attacked images; most, past knn, 75.0 %.")
    assert [is_bad(text) for text in detectors_of.group_lines(data)] == [True, is_bad(shift), True]


def test_a_detector_below_the_softmax_baseline_is_told_in_red():
    rng = np.random.default_rng(0)
    right, noise = rng.normal(0, 1, 200), rng.normal(0, 1, 200)
    sets = {
        name: {"normal": made(normal), "far/a": made(normal + shift), "near/b": made(normal + 2.0)}
        for name, normal, shift in (("msp", right, 2.0), ("knn", noise, -1.5))
    }
    found = detected(RunScores(sets=sets), {"msp", "knn"})
    knn = {m["group"]: m for m in found[1]["means"]}
    gap = knn["far"]["softmax"]["difference"]
    assert gap["high"] < 0
    assert knn["far"]["auroc"]["value"] < 0.5
    assert detectors_of.is_worse(knn["far"]["softmax"])
    far, near = detectors_of.group_lines({"detection": found})
    assert is_bad(far)
    assert "below 0.5, ranked the wrong way round: knn at a 0.1" in plain(far)
    assert plain(far).endswith("; worse than the softmax baseline msp: knn.")
    assert "worse than" not in plain(near)
    assert not is_bad(near)
    # the mean over all sets hides it: only the groups tell
    assert found[1]["auroc"]["value"] > 0.5


def made(score):
    """Scores of 200 samples by the same ids."""
    n = len(score)
    return Scores(
        RunDir("memory://none"), "x", np.array([str(i) for i in range(n)]), score, np.ones(n, bool),
        np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64), np.ones(n), {},
    )  # fmt: skip


def test_flags_of_the_same_data_count_those_of_other_data_do_not(run):
    names = [f["name"] for f in summary_of(run)["flags"]]
    assert names == ["detector-without-gradient"]
    assert {"detector-without-gradient", "few-calibration-samples", "scored-on-fit-data"} <= set(KINDS)


def test_a_run_without_detectors_has_none(make_run):
    run = make_run(shards=1)
    assert summary_of(run)["detection"] == []
    write_report(run)
    assert "rejected" not in run.read("report.html").decode() + run.read("report.md").decode()


def test_a_run_without_others_inside(tmp_path):
    run = make(tmp_path / "run", inside=False)
    data = summary_of(run)
    knn = data["detection"][0]
    assert [g["group"] for g in knn["groups"]] == ["covariate"]
    assert knn["auroc"]["value"] == 11 / 16  # no other set is there to rank by
    assert (knn["attacked"], data["complete"]) == ([], True)
    write_report(run)


@pytest.mark.parametrize("place", ["against/far-cifar", "evasion"])
def test_a_missing_inside_run_is_told(run, place):
    run.fs.rm(run.at(place), recursive=True)
    data = summary_of(run)
    assert data["notes"][place].startswith("left out: ")
    assert not data["complete"]
    knn = data["detection"][0]
    assert ("far" in [g["group"] for g in knn["groups"]], bool(knn["attacked"])) == (
        place == "evasion",
        place != "evasion",
    )
    write_report(run)
    assert "left out: " in run.read("report.html").decode()


def test_an_unfinished_inside_run_is_told(run):
    run.fs.rm(run.at("against/far-cifar", "rows", "scores", "msp-00000.parquet"))
    data = summary_of(run)
    assert "not finished" in data["notes"]["against/far-cifar"]
    assert not data["complete"]
    knn, msp = data["detection"]
    assert [len(d["groups"]) for d in (knn, msp)] == [2, 1]
    assert [m["group"] for m in msp["means"]] == ["covariate"]
    assert "may be as good" not in plain(detectors_of.group_lines(data)[0])
    write_report(run)


@pytest.mark.parametrize("kind", ["absent", "without its last step"])
def test_gates_of_a_run_whose_inside_run_is_not_finished_are_not_decided(run, kind):
    assert write_report(run, gates=["clean.accuracy >= 0"])[1][0].state == "held"
    if kind == "absent":
        run.fs.rm(run.at("against/far-cifar"), recursive=True)
    else:
        run.write(b"", "against/far-cifar", UNFINISHED)
    summary, (gate,) = write_report(run)
    assert (summary["complete"], gate.state) == (False, "undecided")


def test_a_damaged_inside_run_is_told_a_damaged_main_one_is_an_error(run):
    name = ("rows", "scores", "knn-00000.parquet")
    run.write(b"none", "against/far-cifar", *name)
    assert "damaged" in summary_of(run)["notes"]["against/far-cifar"]
    run.write(b"none", *name)
    with pytest.raises(RunError, match=r"rows/scores/knn-00000\.parquet is damaged"):
        build(run)


def test_without_labels(tmp_path):
    run = make(tmp_path / "run", labelled=False)
    knn = summary_of(run)["detection"][0]
    assert knn["selective"] is None
    assert knn["groups"][0]["auroc"]["value"] == 6.5 / 8
    write_report(run)
    page = run.read("report.html").decode()
    assert "accepted: normal" in page
    assert "accuracy of the accepted" not in page


def test_scores_that_are_no_numbers(tmp_path):
    run = make(
        tmp_path / "run", normal={**NORMAL, "knn": [1.0, 2.0, 3.0, math.nan]}, far={**FAR, "knn": [math.inf, 5.0]}
    )
    data = summary_of(run)
    knn = data["detection"][0]
    assert [(e["split"], e["id"], e["reason"]) for e in knn["errors"]] == [
        ("normal", "n3", "the score is nan"),
        ("far/cifar", "f0", "the score is inf"),
    ]
    assert (knn["n"], knn["accepted"]["value"], knn["groups"][0]["n"]) == (3, 1.0, 1)
    assert knn["groups"][0]["auroc"]["value"] == 1.0
    # In pairs both detectors lose these two samples: msp has 1, 2, 3 against 9.
    assert data["detection"][1]["means"][0]["best"] == {"detector": "knn", "difference": None}  # both are perfect
    write_report(run)
    assert "2 scores are no number" in run.read("report.html").decode()
    assert "2 scores are no number" in run.read("report.md").decode().replace("\\", "")


def test_no_score_at_all(tmp_path):
    nothing = {"knn": [math.nan] * 4}
    run = make(tmp_path / "run", detectors=("knn",), normal=nothing)
    (knn,) = summary_of(run)["detection"]
    assert (knn["n"], knn["accepted"], knn["auroc"], knn["groups"][0]["auroc"]) == (0, None, None, None)
    write_report(run)
    page = run.read("report.html").decode()
    assert "Share of the normal images that each detector accepts" in page
    assert "AUROC" not in page.split("Two figures are called")[0]  # a column without any figure
    with pytest.raises(ParameterError, match="no score is a number"):
        check_gates(["knn.accepted >= 0.5"], summary_of(run))


def test_one_detector_reads_well(tmp_path):
    run = make(tmp_path / "run", detectors=("knn",))
    (knn,) = summary_of(run)["detection"]
    assert [(m["best"], m["softmax"]) for m in knn["means"]] == [(None, None)] * 2
    write_report(run)
    page = run.read("report.html").decode()
    assert "How the detectors differ" not in page
    assert "No other detector is both better and faster" not in page
    assert "<details open>\n<summary>Each set by itself" in page


def test_page_and_text_show_it(run):
    write_report(run)
    page, text = run.read("report.html").decode(), run.read("report.md").decode().replace("\\", "")
    for words in ("Input screening: detectors", "Two figures are called FPR@95", "Attacks on the detectors",
                  "with a probability of 75\N{NO-BREAK SPACE}% or more", "The most abnormal pictures"):  # fmt: skip
        assert words in page
    assert '<dt>normal images accepted</dt><dd class="big">75.0\N{NO-BREAK SPACE}%</dd>' in page
    assert page.count("far: best of 2 is knn, <strong>AUROC 0.812</strong> (") == 1
    assert page.index("far: best of 2 is knn") < page.index("normal images accepted")
    tile = "<dt>AUROC: how often far images score above normal ones, 0 to 1</dt>"
    assert f'{tile}<dd class="big">0.812</dd>' in page
    assert "81.2" not in page  # one unit on a page
    assert "| 1. knn ◆ | 0.812 (" in text
    assert "- far: best of 2 is knn, **AUROC 0.812** (" in text
    assert "L∞, ε 8/255: share of 4 attacked images that evade model and detector" in text
    assert "| knn | 25.0 % (0.6 to 80.6 %) | 75.0 % (19.4 to 99.4 %) |" in text
    assert "By strength" not in page  # nothing was done to the model itself
    assert "By class" in page
    assert "worst natural" not in page


def test_the_page_is_narrow_readable_and_quiet(run, offline, contrast):
    write_report(run)
    for scheme in ("light", "dark"):
        tab, troubles = offline(run.read("report.html").decode(), width=400, scheme=scheme)
        tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 400
        assert tab.evaluate(contrast) == []
        assert troubles == []


def test_the_front_is_who_no_other_betters():
    def one(name, area, time):
        return {"condition": name, "auroc": area and {"value": area}, "cost": {"milliseconds": time}}

    data = {
        "detection": [
            one("a", 0.9, 5.0),
            one("b", 0.8, 1.0),
            one("c", 0.8, 2.0),
            one("d", 0.7, 9.0),
            one("e", None, 0.1),
        ]
    }
    assert detectors_of.front(data) == {"a", "b"}
    assert [d["condition"] for d in detectors_of.by_auroc(data)] == ["a", "b", "c", "d", "e"]
    assert detectors_of.chosen(data) == ["a", "b", "c"]


def test_plots_say_what_they_show(run):
    summary = build(run)
    screened = summary.kept["detect"]
    front = _detectors.front_plot(summary.data)
    assert [p.label or "left out" for p in front.traces[0].points] == ["knn", "msp"]
    assert front.traces[0].points[0].y < front.traces[0].points[1].y  # the better one stands higher
    first, *_ = _detectors.densities(summary.data, screened)
    assert [t.name for t in first.traces] == ["normal", "cifar (far)", "fog, severity 3 (shift)"]
    assert first.marker[1] == "threshold"
    low, high = 1.0 + 0.005 * 3, 6 - 0.005 * 3  # close to the tails that are cut
    assert first.marker[0] == pytest.approx(100 * (3.5 - low) / (high - low), abs=2)
    curves = _detectors.curves(summary.data, screened)
    assert [c.name for c in curves] == ["cifar (far)", "fog, severity 3 (shift)"]
    # A quarter of the normal may be flagged: from above 3 on, one of the two far ones is.
    assert "knn: 50.0 % at 5 % false alarms" in curves[0].text


@pytest.mark.parametrize("times", [(0.004, 0.006), (0.006, 0.04, 6.0), (3.0, 3.0), (0.0, 1e4)])
def test_times_stand_on_a_logarithmic_axis(times):
    area = {"value": 0.9, "low": 0.8, "high": 0.95}
    data = {
        "detection": [{"condition": f"d{t}", "auroc": area, "cost": {"milliseconds": t}} for t in times],
    }
    plot = _detectors.front_plot(data)
    places = [p.x for p in plot.traces[0].points]
    least = max(min(times), 1e-4)
    expected = [math.log(max(t, 1e-4) / least) / math.log(max(times) / least * 4) for t in times]
    assert [p - places[0] for p in places] == pytest.approx([100 * e for e in expected], abs=0.02)
    assert plot.ticks
    assert all(0 <= x <= 100 for x in [*places, *(x for x, _ in plot.ticks)])


def test_the_most_abnormal_pictures_come_first(run):
    summary = build(run)
    _, _, normal_title, normal, far_title, far = galleries(summary.report(), summary.kept["detect"])

    def captions(gallery):
        return [(one.pictures[0].text, plain(one.lines[0]), plain(one.lines[1])) for one in gallery.exhibits]

    assert captions(normal) == [
        ("Sample n3", "rejected", "4"), ("Sample n2", "accepted", "3"), ("Sample n1", "accepted", "2"),
        ("Sample n0", "accepted", "1"),
    ]  # fmt: skip
    assert captions(far) == [("Sample f1", "rejected", "5"), ("Sample f0", "accepted", "3")]
    assert plain(normal_title.text) == "normal 4 of 4 kept"
    assert plain(far_title.text) == "cifar (far) 2 of 2 kept"


def test_the_terminal_has_a_table_of_detectors_and_one_of_attacks(run, capsys):
    from unshaken.cli.show import print_page

    print_page(make_report(run).page)
    text = capsys.readouterr().out
    assert "AUROC, far" in text
    assert "0.812 (" in text
    assert "far: best of 2 is knn, AUROC 0.812 (" in text
    assert "evade, L∞, ε 8/255" in text
    assert "75.0 % (19.4 to 99.4)" in text
    assert re.search("^Brier score  +[0-9.]+ ", text, re.MULTILINE)  # a line for each figure


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_the_most_abnormal_pictures_can_be_seen(run, offline, width):
    write_report(run)
    tab, _ = offline(run.read("report.html").decode(), width=width)
    widths = tab.evaluate("[...document.querySelectorAll('.faces img')].map(i => i.getBoundingClientRect().width)")
    assert widths
    assert min(widths) >= 60


@pytest.mark.parametrize(
    ("gate", "value", "held"),
    [
        ("knn.accepted >= 0.7", 0.75, True),
        ("knn[group=far].auroc >= 0.9", 6.5 / 8, False),
        ("knn[set=cifar].flagged >= 0.5", 0.5, True),
        ("knn.auroc >= 0.5", 11 / 16, True),  # the worst of the two sets
        ("knn.mean_auroc >= 0.8", 6.5 / 8, True),
        ("knn[group=covariate].mean_auroc >= 0.8", 11 / 16, False),
        ("knn[eps=8/255].adaptive <= 0.5", 0.75, False),
        ("knn.naive <= 0.5", 0.25, True),
        ("msp[norm=linf,eps=8/255].adaptive.low <= 0.5", None, True),
        ("knn.accuracy >= 0.7", 0.75, True),  # of the model behind it, as of any condition
    ],
)
def test_gates(run, gate, value, held):
    (result,) = check_gates([gate], summary_of(run))
    assert result.held is held
    if value is not None:
        assert result.value == pytest.approx(value)


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ("kn.auroc >= 0.9", r"no detector 'kn'; .*knn"),
        ("knn[group=near].auroc >= 0.9", r"has no auroc with these values; it has far/cifar, covariate/fog-3"),
        ("knn[eps=4/255].adaptive <= 0.5", r"it has linf 8/255"),
        ("knn[eps=8/255].auroc <= 0.5", "auroc is chosen by group and set, not by eps"),
        ("knn[group=far].accepted <= 0.5", "accepted is of the detector as a whole, not by group"),
    ],
)
def test_gates_on_what_is_not_there(run, gate, message):
    with pytest.raises(ParameterError, match=message):
        check_gates([gate], summary_of(run))


def test_gates_choose_by_what_a_figure_has():
    with pytest.raises(ParameterError, match="'severity=3' is none of group=, set=, norm= and eps= with a value"):
        Gate.parse("knn[severity=3].auroc >= 0.5")
    with pytest.raises(ParameterError, match="'group=far' is none of severity=, eps= and norm= with a value"):
        Gate.parse("pgd[group=far].accuracy >= 0.5")


def test_no_figure_depends_on_the_order_of_rows(run):
    before = summary_of(run)["detection"]
    for place in ("", "against/far-cifar/"):
        there = RunDir(run.at(place.rstrip("/")) if place else run.path)
        for name in there.names("rows", "scores"):
            table = there.rows("scores").filter(
                np.array([c == name[:3] for c in there.rows("scores")["detector"].to_pylist()])
            )
            there.write_rows(table.take(list(range(len(table)))[::-1]), "scores", name[:3], 0)
    after = summary_of(run)["detection"]
    assert [{k: d[k] for k in ("auroc", "accepted", "means", "selective")} for d in after] == [
        {k: d[k] for k in ("auroc", "accepted", "means", "selective")} for d in before
    ]


def test_the_first_screen_says_what_is_noticed_least(run, first_screen):
    summary = build(run)
    best = by_auroc(summary.data)[0]
    least = min((g["flagged"]["value"] for g in best["groups"] if g["flagged"]), default=None)
    text = first_screen(report_page(summary))
    assert text.startswith("Would it notice? Detectors of abnormal inputs for ")
    assert f"At its threshold {best['condition']} rejects {100 * least:.1f} % (" in text
