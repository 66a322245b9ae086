"""The verdict's rule by hand, the noisy set by its counts, and the row's figures from its rows."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from tests.papers.tiny import Tiny, make_bands
from unshaken.core.errors import ParameterError
from unshaken.measure import auroc
from unshaken.papers import run_paper
from unshaken.papers.claim import judge_parts
from unshaken.papers.datasets import Split
from unshaken.papers.effects import standard_error
from unshaken.store.run_dir import RunDir
from unshaken_papers.web_noise_lsa import ARMS, WebNoisePaper
from unshaken_papers.web_noise_lsa.experiment import chosen_classes, noisy_set, other_classes

TINY = Tiny(
    make=make_bands,
    needs=("sklearn",),
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown."""
    ranked = {"linear": {"auroc": {"ood": figure(0.9)}}, "small-loss": {"auroc": {"ood": figure(0.7)}}}
    images = {"dropped": {"loss": 0.4, "edges": 0.1}, "kept": {"loss": 0.9, "edges": 0.1}}
    over = {
        "detection": figure(0.1),
        "posterior": figure(0.1),
        "separable": figure(0.1),
        "linear_minus_small-loss": figure(0.005),
        "alternate_minus_small-loss": figure(0.02),
        "alternate_minus_linear": figure(0.02),
    }
    suspect = {"largest": 0.75, "posterior": 0.25, "by_posterior": 0.05, "of_all": 0.4}
    seed = {"rho": 0.2, "clean_images": images, "suspect": suspect}
    seed["accuracy"] = {"oracle": figure(0.5), "ce": figure(0.45)}
    return {"seed0": seed, "seed1": dict(seed), "control": {"seed0": ranked}, "over_seeds": over}


def outcomes(measured):
    paper = WebNoisePaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert [found.pop(name) for name in ("co-training", "web-noise")] == ["not tried"] * 2
    assert {*found.values()} == {"shown"}


@pytest.mark.parametrize(
    ("name", "hidden", "opposed", "part"),
    [
        ("detection", 0.035, None, "detection"),
        ("posterior", 0.035, -0.02, "posterior"),
        ("separable", 0.035, -0.02, "separable"),
        ("linear_minus_small-loss", None, 0.02, "surprise"),
        ("alternate_minus_small-loss", 0.005, -0.02, "method"),
        ("alternate_minus_linear", 0.005, -0.02, "method"),
    ],
)
def test_one_difference_decides_a_part_alone(measured, name, hidden, opposed, part):
    before = outcomes(measured)
    for value, wanted in ((hidden, "not visible at this scale"), (opposed, "contradicted")):
        if value is not None:
            changed = json.loads(json.dumps(measured))
            changed["over_seeds"][name] = figure(value)
            assert outcomes(changed) == {**before, part: wanted}


def test_where_the_line_detects_worse_its_lower_accuracy_is_no_surprise(measured):
    """A line with an AUROC below that of small loss, as in the first run."""
    measured["over_seeds"]["detection"] = figure(-0.41)
    measured["over_seeds"]["linear_minus_small-loss"] = figure(-0.047)
    found = outcomes(measured)
    assert (found["detection"], found["surprise"]) == ("contradicted", "short of its rule")


def test_scores_that_rank_alike_and_a_control_that_fails(measured):
    measured["seed1"] = {**measured["seed1"], "rho": -0.7}
    measured["control"]["seed0"]["linear"]["auroc"]["ood"] = figure(0.6)
    found = outcomes(measured)
    assert found["detection"] == "not visible at this scale"
    assert found["any-classes"] == "contradicted"


def test_one_seed_shows_no_difference(measured):
    measured["over_seeds"] = {name: standard_error([0.3]) for name in measured["over_seeds"]}
    found = outcomes(measured)
    assert {found[name] for name in ("detection", "separable", "surprise", "method")} == {"not visible at this scale"}


def test_the_remark_names_what_is_dropped(measured):
    words = WebNoisePaper().remark(measured)
    assert "a mean loss of 0.40, those that it keeps one of 0.90" in words
    assert "75% are of no class; of all images 40%" in words
    assert "flags 5% of the images, of which 25% are of no class" in words
    assert "an accuracy of 0.500, cross-entropy 0.450" in words


def test_the_noisy_set_by_its_counts():
    labels = torch.arange(400) % 5
    images = labels.view(-1, 1, 1, 1).to(torch.uint8).expand(-1, 3, 8, 8).contiguous()  # a pixel is the true class
    whole = Split(images, labels, tuple(str(i) for i in range(400)), 5)
    data = noisy_set(WebNoisePaper(train=200, test=90), whole, whole, [0, 2, 3], 0)
    assert [(data.kinds == k).sum() for k in ("clean", "ood", "flip")] == [100, 80, 20]
    true, given = data.training.images[:, 0, 0, 0].numpy(), data.training.labels.numpy()
    assert set(true[data.kinds == "ood"]) == {1, 4}
    place = np.array([0, -1, 1, 2, -1])
    assert (place[true] == given)[data.kinds == "clean"].all()
    assert not (place[true] == given)[data.kinds == "flip"].any()
    assert data.training.classes == 3
    assert sorted(set(given[data.kinds == "ood"])) == [0, 1, 2]
    assert (place[data.testing.images[:, 0, 0, 0].numpy()] == data.testing.labels.numpy()).all()
    assert len(data.testing) == 90
    assert chosen_classes(whole) == [0, 1, 2]


def test_the_control_has_other_classes():
    """The first draw of seed 0 is that of CIFAR-10's animals."""
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    images, ids = torch.zeros(10, 3, 8, 8, dtype=torch.uint8), tuple(map(str, range(10)))
    data = Split(images, torch.arange(10), ids, 10, names)
    assert chosen_classes(data) == [2, 3, 4, 5, 6, 7]
    assert sorted(np.random.default_rng(0).permutation(10)[:6]) == chosen_classes(data)
    for seed in range(50):
        found = other_classes(data, seed)
        assert len(set(found)) == 6
        assert found != chosen_classes(data)
    alone = Split(images[2:8], torch.arange(6), ids[2:8], 6, names[2:8])
    with pytest.raises(ParameterError, match="all 6 classes of the data"):
        chosen_classes(alone)


def test_figures_come_from_rows(finished):
    run = finished("web-noise-lsa")
    assert {f"accuracy.{arm}" for arm in ARMS} <= set(run.seed0)
    rows = [r for r in RunDir(run.out).rows("web_noise_lsa_detections").to_pylist() if r["condition"] == "seed0.scores"]
    kinds, loss = (np.array([r[k] for r in rows]) for k in ("kind", "loss"))
    wanted = auroc(loss[kinds == "clean"], loss[kinds == "ood"]).value
    assert run.seed0["small-loss.auroc.ood"]["value"] == pytest.approx(wanted)
    apart = {kind: [r for r in rows if r["kind"] == kind and not r["known"]] for kind in ("clean", "ood")}
    wanted = auroc(*([r["linear_known"] for r in apart[kind]] for kind in ("clean", "ood"))).value
    assert run.seed0["known.linear"]["value"] == pytest.approx(wanted)
    assert sum(r["known"] for r in rows) == 50
    suspect = np.array([r["suspect"] for r in rows])
    assert suspect.mean() == pytest.approx((kinds == "ood").mean(), abs=1 / len(rows))
    assert loss[suspect].min() > loss[~suspect].max()
    assert run.seed0["suspect.largest"] == pytest.approx((kinds[suspect] == "ood").mean(), abs=1e-4)
    dropped = [r["loss"] for r in rows if r["kind"] == "clean" and r["linear"] > 0.5]
    assert run.seed0["clean_images.dropped.loss"] == pytest.approx(np.mean(dropped or [0.0]), abs=1e-4)
    seeds = [run.result.measured[f"seed{i}.accuracy.alternate"]["value"] for i in range(2)]
    others = [run.result.measured[f"seed{i}.accuracy.linear"]["value"] for i in range(2)]
    apart = run.result.measured["over_seeds.alternate_minus_linear"]
    assert apart["value"] == pytest.approx(np.mean(seeds) - np.mean(others))
    assert apart["n"] == 2


def test_a_model_of_ones_own_is_refused(tints, tmp_path):
    with pytest.raises(ParameterError, match="pretrained on the noisy images"):
        run_paper("web-noise-lsa:train=60,test=20", out=tmp_path / "run", data=tints, model="demo:standard")
