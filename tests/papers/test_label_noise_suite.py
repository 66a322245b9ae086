"""The verdict's rule by hand, the synthetic labels, and the whole row on tints."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from tests.papers.tiny import Tiny, make_tints
from unshaken.core.errors import DataError, ParameterError
from unshaken.data import load_data
from unshaken.measure import auroc
from unshaken.papers import run_paper
from unshaken.papers.claim import judge_parts
from unshaken.papers.datasets import Split
from unshaken.store.run_dir import RunDir
from unshaken_papers.label_noise_suite import LabelNoisePaper
from unshaken_papers.label_noise_suite.experiment import light, matched, memoriser


def make_doubted(folder: Path) -> str:
    """Tints; and `people.parquet` with the training images, of whose labels three in ten are the next class."""
    spec = make_tints(folder)
    table = pq.read_table(folder / "tints.parquet")
    table = table.filter(pc.equal(table["split"], "train")).drop_columns("split")
    labels = pa.array([(c + (i % 10 < 3)) % 3 for i, c in enumerate(table["label"].to_pylist())])
    pq.write_table(table.set_column(table.column_names.index("label"), "label", labels), folder / "people.parquet")
    return spec


TINY = Tiny(
    make=make_doubted,
    parameters={"human": "parquet:{folder}/people.parquet"},
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


def found(auc, precision=0.6):
    scores = {"auroc": figure(auc), "average_precision": figure(precision)}
    return {"self_confidence": scores, "wrong_labels": 0.4, "estimate": 0.38}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown, some of them barely."""
    part = {
        "human": found(0.7, 0.42),
        "matched": found(0.73),
        "inside": found(0.67),
        "plain": {"memorised": figure(0.52), "best": figure(0.5), "last": figure(0.46)},
    }
    over = {"harder": 0.03, "hidden": 0.03, "gce_minus_plain": 0.04, "elr_minus_plain": 0.02}
    over = {name: figure(value) for name, value in over.items()}
    return {"seed0": part, "seed1": copy.deepcopy(part), "over_seeds": over, "networks_from_cache": True}


def outcomes(measured, **options):
    paper = LabelNoisePaper(**options)
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def changed(measured, path, value):
    *way, last = path
    place = measured = copy.deepcopy(measured)
    for key in way:
        place = place[key]
    place[last] = figure(value)
    return measured


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert {name for name, outcome in found.items() if outcome == "not tried"} == {"reviewed"}
    assert {*found.values()} == {"not tried", "shown"}


@pytest.mark.parametrize(
    ("path", "hidden", "opposed", "part"),
    [
        (("seed1", "human", "self_confidence", "average_precision"), 0.405, 0.38, "found"),
        (("over_seeds", "harder"), 0.005, -0.02, "human-harder"),
        (("over_seeds", "hidden"), 0.005, -0.02, "out-of-sample"),
        (("seed1", "plain", "last"), 0.48, 0.53, "memorises"),
        (("over_seeds", "elr_minus_plain"), 0.005, -0.02, "robust-losses"),
    ],
)
def test_one_figure_decides_a_part(measured, path, hidden, opposed, part):
    assert outcomes(changed(measured, path, hidden))[part] == "not visible at this scale"
    assert outcomes(changed(measured, path, opposed))[part] == "contradicted"


@pytest.mark.parametrize(("path", "value"), [(("plain", "memorised"), 0.3), (("plain", "last"), 0.48)])
def test_without_memorisation_nothing_is_said_of_the_losses(measured, path, value):
    losing = changed(measured, ("over_seeds", "elr_minus_plain"), -0.2)
    found = outcomes(changed(losing, ("seed0", *path), value))
    assert found["memorises"] == ("short of its rule" if path[1] == "memorised" else "not visible at this scale")
    assert found["robust-losses"] == "not visible at this scale"
    assert found["out-of-sample"] == ("shown" if path[1] == "last" else "not visible at this scale")


def test_columns_by_image_give_the_aurocs_of_the_seeds(finished):
    found = finished("label-noise-suite").result.measured
    for name, one, other in (("harder", "matched", "human"), ("hidden", "outside", "inside")):
        gaps = [
            found[f"seed{s}.{one}.self_confidence.auroc"]["value"]
            - found[f"seed{s}.{other}.self_confidence.auroc"]["value"]
            for s in range(LabelNoisePaper.tiny.get("seeds", 1))
        ]
        kept = found.get(f"over_seeds.{name}") or {"value": found[f"over_seeds.{name}.value"]}
        assert kept["value"] == pytest.approx(np.mean(gaps))


def test_two_of_three_losses_are_enough(measured):
    measured["over_seeds"]["sce_minus_plain"] = figure(-0.1)
    assert outcomes(measured, arms="gce+sce+elr")["robust-losses"] == "shown"


def test_an_unknown_loss_is_refused():
    with pytest.raises(ParameterError, match="no arm 'mse'; there are gce, sce, elr, co-teaching"):
        LabelNoisePaper(arms="gce+mse")


def test_synthetic_labels_have_the_transitions_of_the_given_ones_and_not_their_images():
    truth = torch.arange(6000) % 3
    given = torch.where((torch.arange(6000) // 3) % 5 == 0, (truth + 1) % 3, truth)
    given[truth == 2] = 2
    made = matched(Split.of(torch.zeros(6000, 1, 2, 2, dtype=torch.uint8), truth), given, seed=1)
    for labels in (given, made):
        shares = [[float((labels[truth == i] == j).double().mean()) for j in range(3)] for i in range(3)]
        assert np.allclose(shares, [[0.8, 0.2, 0], [0, 0.8, 0.2], [0, 0, 1]], atol=0.05)
    assert float((made != given).double().mean()) > 0.1


def test_the_networks_have_the_parameters_that_the_page_states():
    assert sum(p.numel() for p in light(10, 3, 32).parameters()) == 24_346
    assert sum(p.numel() for p in memoriser(10, 3, 16).parameters()) == 242_474


def test_the_figures_of_detection_by_hand(finished):
    run = finished("label-noise-suite")
    rows = RunDir(run.out).rows("label_noise_suite_suspicion").to_pylist()
    for name, n in {"human": 90, "matched": 90, "inside": 60, "outside": 60}.items():
        own = [r for r in rows if r["condition"] == f"seed0.{name}"]
        assert len(own) == n
        score, wrong = np.array([(r["self_confidence"], r["given"] != r["truth"]) for r in own]).T
        wrong = wrong.astype(bool)
        assert run.seed0[f"{name}.self_confidence.auroc"]["value"] == auroc(-score[~wrong], -score[wrong]).value
    inside, outside = ({r["id"] for r in rows if r["condition"] == f"seed0.{n}"} for n in ("inside", "outside"))
    assert inside == outside
    human = [r for r in rows if r["condition"] == "seed0.human"]
    assert 0.2 < run.seed0["human.wrong_labels"] == round(np.mean([r["given"] != r["truth"] for r in human]), 4) < 0.4


def test_all_learn_from_and_are_examined_for_the_labels_that_people_gave_these_images(finished):
    run = finished("label-noise-suite")
    people = load_data(f"parquet:{run.out.parent / 'images' / 'people.parquet'}")
    given = dict(zip(people.ids, people.labels.tolist(), strict=True))
    table = RunDir(run.out).rows("label_noise_suite_suspicion").to_pylist()
    rows = [r for r in table if r["condition"] in {f"seed0.{name}" for name in ("human", "inside", "outside")}]
    rows += RunDir(run.out).rows("label_noise_suite_training").to_pylist()
    assert len(rows) > 90 + 60 + 60
    assert [r["given"] for r in rows] == [given[r["id"]] for r in rows]


def test_other_images_than_those_that_people_labelled_are_refused(tints, tmp_path):
    with pytest.raises(DataError, match="has not the image 'train"):
        run_paper("label-noise-suite:photos=60,test=20,choosing=20,human=demo", data=tints, out=tmp_path / "run")
