"""Gates against a plan: what `check_planned` lets pass is what the finished run has, and nothing else."""

from __future__ import annotations

import pytest

import unshaken
from unshaken import detect
from unshaken.api.job import prepare_run
from unshaken.api.options import check_options
from unshaken.core.errors import ParameterError
from unshaken.report import check_gates
from unshaken.report.gates.rehearsal import rehearse
from unshaken.run import load_plan
from unshaken.store.run_dir import RunDir


def test_a_gate_is_refused_before_the_run_exactly_where_it_would_be_after(tmp_path):
    def names(summary):
        conditions = [c["condition"] for c in summary["conditions"] + summary["minimal_norms"]]
        return ["clean", *summary["aggregates"], *conditions, "fog", "pgd", "fogg", "deepfool", "mcee"]

    plan = [{"method": "fog", "severities": [1, 3]}, {"method": "fgsm", "eps": ["8/255"]}]
    plan += [{"method": "deepfool", "norm": "l2", "params": {"steps": 3}}, {"method": "ibp", "eps": ["0.5/255"]}]
    plan += [{"method": "smoothing", "params": {"n": 50, "alpha": 0.05, "radii": "0.1"}}]
    done = unshaken.audit("demo:standard", "demo", plan, limit=10, out=tmp_path / "run")
    ends = [
        ".accuracy >= 0",
        ".median >= 0",
        "[severity=3].accuracy >= 0",
        "[eps=8/255].accuracy.low >= 0",
        ".auroc >= 0",
        *(f"[radius={r}].certified_accuracy >= 0" for r in ("0", "0.1", "0.5/255", "0.2")),
    ]
    gates = [f"{name}{end}" for name in names(done.summary) for end in ends]
    job = prepare_run(
        RunDir(tmp_path / "other"), "demo:standard", "demo", load_plan(plan), check_options(limit=10), [], "custom"
    )
    conditions = [c for step in job.steps() for c in step.conditions]
    summary = rehearse(job.config, conditions, labelled=True) | {"detection": []}
    verdicts = {gate: (refused(gate, summary), refused(gate, done.summary)) for gate in gates}
    assert {gate: v for gate, v in verdicts.items() if v[0] != v[1]} == {}
    assert {v[0] for v in verdicts.values()} == {True, False}


def refused(gate, summary):
    try:
        check_gates([gate], summary)
    except ParameterError:
        return True
    return False


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ("foog.accuracy >= 0.5", "this run has no 'foog'; did you mean 'fog'"),
        ("fog[severity=2].accuracy >= 0.5", "no condition of 'fog' has these values; this run has fog-1, fog-3"),
        ("fgsm[eps=4/255].accuracy >= 0.5", "no condition of 'fgsm' has these values"),
        ("fgsm.median >= 0.5", "use 'fgsm.accuracy'"),
        ("mce <= 0.6", "this run has no figure for 'mce'"),
        ("knn.auroc >= 0.5", "this run has no detector 'knn'"),
    ],
)
def test_nothing_is_run_where_a_gate_is_wrong(tmp_path, gate, message):
    plan = [{"method": "fog", "severities": [1, 3]}, {"method": "fgsm", "eps": ["8/255"]}]
    for model in ("demo:standard", None):
        with pytest.raises(ParameterError, match=message):
            unshaken.audit(model, "demo", plan, limit=5, out=tmp_path / "run", gates=[gate])
    assert not (tmp_path / "run").exists()


def test_data_without_labels_and_a_model_without_gradients_are_known_before(tmp_path):
    data = unshaken.load_data("demo").unlabelled()
    plan = [{"method": "fog", "severities": [1]}]
    with pytest.raises(ParameterError, match=r"no figure for 'fog-1'"):
        unshaken.audit("demo:standard", data, plan, limit=5, out=tmp_path / "run", gates=["fog.accuracy >= 0.5"])
    box = unshaken.load_model("demo:standard")
    box.differentiable = False
    both = [*plan, {"method": "fgsm", "eps": [0.1]}]
    with pytest.raises(ParameterError, match=r"this run has no 'fgsm'"):
        unshaken.audit(box, "demo", both, limit=5, out=tmp_path / "run", gates=["fgsm.accuracy >= 0"])
    assert not (tmp_path / "run").exists()


def test_gates_on_detectors_are_held_against_their_sets(tmp_path):
    detect.fit("demo:standard", "demo", ["msp"], limit=40).save(tmp_path / "detectors")

    def score(*gates, **more):
        where = {"out": tmp_path / "run", "limit": 20, "against": "far/dark=demo", "shifts": "fog-3", "eps": 0.1}
        model = unshaken.load_model("demo:standard")
        attack = {"attack": "pgd:steps=1", "samples": 4}
        return unshaken.detect(model, "demo", tmp_path / "detectors", gates=gates, **{**where, **attack, **more})

    for gate, message in {
        "knn.auroc >= 0": "this run has no detector 'knn'; did you mean|known: msp",
        "msp.auroc[set=light] >= 0": "is not understood",
        "msp[set=light].auroc >= 0": "msp has no auroc with these values; it has far/dark, covariate/fog-3",
        "msp[eps=0.2].adaptive <= 1": "msp has no adaptive with these values",
    }.items():
        with pytest.raises(ParameterError, match=message):
            score(gate)
    assert not (tmp_path / "run").exists()
    held = ["msp[set=dark].auroc >= 0", "msp[set=fog-3].flagged >= 0", "msp[group=far].mean_auroc >= 0"]
    held += ["msp.accuracy >= 0", "msp.accepted >= 0", "msp[eps=0.1].adaptive <= 1", "clean.accuracy >= 0"]
    assert score(*held).held
    with pytest.raises(ParameterError, match="nothing such was run"):
        score("msp.adaptive <= 1", attacked=False, out=tmp_path / "other")
