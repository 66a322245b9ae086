"""The verdict's rule by hand, the whole row on tints with made-up judgements, and what is absent or damaged."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.papers.tiny import Tiny, make_tints
from unshaken.core.errors import DataError
from unshaken.papers import run_paper
from unshaken.papers.claim import judge_parts
from unshaken.papers.datasets import Split
from unshaken.store.run_dir import RunDir
from unshaken_papers.imagenet_mistakes import ImageNetMistakesPaper
from unshaken_papers.imagenet_mistakes.experiment import GREY, one_object, two_objects


def make_mistakes(folder: Path) -> str:
    """Released judgements of two models, few and made up, beside tints; three files are mistakes of both."""
    kinds = (
        ("Fine-grained error", "Major"),
        ("Fine-grained with OOV", "Minor"),
        ("Spurious Correlation", "Borderline"),
    )
    for name, places in (("vit3b", range(6)), ("greedy_soups", range(3, 8))):
        made = {
            f"file{i}": {"top_prediction": i + (i == 5 and name == "vit3b")}
            | dict(zip(("failure category", "failure severity"), kinds[i % 3], strict=True))
            for i in places
        }
        (folder / f"{name}_mistakes.json").write_text(json.dumps(made))
    (folder / "class_confusion_wnids.json").write_text(json.dumps([["n01440764", "n01443537", 2], ["n2", "n1", 1]]))
    make_tints(folder)
    return str(folder)


TINY = Tiny(
    make=make_mistakes,
    parameters={"small_data": "parquet:{folder}/tints.parquet"},
)
"""How the battery runs the row, beside its tiny sizes."""

QUICK = "seeds=1,images=60,tested=12,epochs=1,photos=0"


def figure(value, half=0.02):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown."""
    both = ("mistakes", "same_prediction", "same_judgement")
    return {
        "released": {"vit3b": {"major": figure(0.4)}, "both": dict.fromkeys(both, 3)},
        "seed0": {"gain": figure(0.2)},
        "seed1": {"gain": figure(0.15)},
        "photos": {"shared": figure(0.6), "close": figure(0.5), "close_random": figure(0.05)},
        "reviewed": {"label_wrong": figure(0.5)},
    }  # fmt: skip


def outcomes(measured):
    paper = ImageNetMistakesPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert found.pop("valid-answers") == "not tried"
    assert {*found.values()} == {"shown"}
    assert "3 images are mistakes of both models" in ImageNetMistakesPaper().remark(measured)


@pytest.mark.parametrize(
    ("path", "hidden", "opposed", "part"),
    [
        (("released", "vit3b", "major"), 0.34, 0.3, "plainly-wrong"),
        (("seed1", "gain"), 0.09, -0.05, "understated"),
        (("photos", "shared"), 0.51, 0.4, "shared"),
        (("photos", "close"), 0.08, 0.005, "close-classes"),
        (("reviewed", "label_wrong"), 0.34, 0.08, "elsewhere"),
    ],
)
def test_one_figure_decides_a_part_alone(measured, path, hidden, opposed, part):
    before = outcomes(measured)
    for value, outcome in ((hidden, "not visible at this scale"), (opposed, "contradicted")):
        changed = json.loads(json.dumps(measured))
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = figure(value)
        assert outcomes(changed) == {**before, part: outcome}


def test_what_is_absent_is_not_tried_and_named():
    few = {"seed0": {"gain": figure(0.2)}, "photos": {}}
    assert Counter(outcomes(few).values()) == {"not tried": 5, "shown": 1}
    remark = ImageNetMistakesPaper().remark(few)
    assert "The released files are absent and were skipped" in remark
    assert "votes on CIFAR-10 are absent" in remark


def test_figures_come_from_rows(finished):
    run = finished("imagenet-mistakes")
    measured, rows = run.result.measured, RunDir(run.out)
    assert measured["released.vit3b.mistakes"] == 6
    assert measured["released.vit3b.major"]["value"] == pytest.approx(2 / 6)
    assert measured["released.greedy_soups.by_category.Fine-grained error with OOV.Minor"] == 2
    shared = {"mistakes": 3, "same_prediction": 2, "same_judgement": 2, "majors_shared": 1, "majors_of_both": 1}
    assert {k: measured[f"released.both.{k}"] for k in shared} == shared
    assert measured["released.confusions.mistakes"] == 3
    seconds = rows.rows("imagenet_mistakes_second_labels").to_pylist()
    second = {r["id"]: r["second"] for r in seconds if r["condition"] == "seed0.pasted"}
    outcomes = rows.rows("outcomes").to_pylist()
    table = [r for r in outcomes if r["condition"] == "seed0.pasted"]
    hits = [r["prediction"] in (r["label"], second[r["id"]]) for r in table]
    assert measured["seed0.mla_micro"]["value"] == pytest.approx(np.mean(hits))
    gain = np.mean(hits) - np.mean([r["correct"] for r in table])
    assert measured["seed0.gain"]["value"] == pytest.approx(gain)
    assert measured["seed0.gain"]["value"] > 0.1  # the network learns the tints, and names one of two at random
    errors = [(r["condition"], r["id"]) for r in outcomes if not r["correct"]]
    wrong = [{i for condition, i in errors if condition == f"photos.{place}"} for place in (0, 1)]
    assert measured["photos.errors.1"] == len(wrong[1])
    assert measured["photos.shared"]["value"] == pytest.approx(len(wrong[0] & wrong[1]) / len(wrong[1]))
    assert measured["photos.close_random"]["value"] == 1  # ten classes are all close
    assert "reviewed.label_wrong" not in measured


def test_every_second_image_has_an_object_of_another_class():
    images = (torch.arange(6, dtype=torch.uint8)[:, None, None, None] * 40).expand(6, 1, 4, 8).contiguous()
    data = Split.of(images, torch.arange(6) % 3)
    shown, second = two_objects(data, np.random.default_rng(0))
    assert shown.images.shape == images.shape
    assert [s >= 0 for s in second] == [False, True] * 3
    for row, other in enumerate(second):
        values = {int(v) for v in shown.images[row].unique()}
        assert row * 40 in values
        assert (values - {row * 40} == {GREY}) == (other < 0)
        if other >= 0:
            (shade,) = values - {row * 40}
            assert shade // 40 % 3 == other != row % 3
    alone = one_object(data, np.random.default_rng(1))
    sides = {bool((image[..., :4] == GREY).all()) for image in alone.images}
    assert sides == {True, False}


def test_votes_are_counted(tmp_path, monkeypatch, tiny_mistakes):
    place = tmp_path / "labels-cifar10"
    place.mkdir()
    majority = ["given"] * 4 + ["guessed", "neither", "none", "given"]
    votes = {"id": [f"test/{i}" for i in range(8)], "test_index": list(range(8)), "majority": majority}
    pq.write_table(pa.table(votes), place / "mturk.parquet")
    sure = np.tile([0.1, 0.9], (9, 1))
    sure[7] = [0.9, 0.1]
    table = {"label": [0] * 9, "p_a": sure[:, 0], "p_b": sure[:, 1]}
    pq.write_table(pa.table(table), place / "pyx_test.parquet")
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    result = run_paper(f"imagenet-mistakes:{QUICK},small_data={tiny_mistakes[1]}", out=tmp_path / "run")
    assert result.measured["reviewed.reviewed"] == 8
    assert result.measured["reviewed.disagreements"] == 7
    assert [result.measured[f"reviewed.{k}"]["value"] for k in ("label_wrong", "undecided", "model_wrong")] == [
        2 / 8, 1 / 8, 5 / 8,
    ]  # fmt: skip
    assert "released files are absent" in result.note
    assert not any(name.startswith(("released", "photos")) for name in result.measured)


@pytest.fixture
def tiny_mistakes(tmp_path):
    """A folder of released judgements, and the SPEC of tints."""
    (tmp_path / "own").mkdir()
    return make_mistakes(tmp_path / "own"), f"parquet:{tmp_path}/own/tints.parquet"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vit3b_mistakes.json", "{", "is damaged"),
        ("vit3b_mistakes.json", "[]", "holds no mistakes by file name"),
        ("vit3b_mistakes.json", '{"a": {"top_prediction": 1}}', "a is damaged .*Field required"),
        ("vit3b_mistakes.json", '{"a": 3}', "a is damaged"),
        ("class_confusion_wnids.json", '[["a", "b"]]', "is damaged"),
        ("greedy_soups_mistakes.json", None, "cannot be read"),
    ],
)
def test_files_that_are_not_the_released_ones_are_one_line(tiny_mistakes, tmp_path, name, content, message):
    folder, spec = tiny_mistakes
    Path(folder, name).unlink() if content is None else Path(folder, name).write_text(content)
    with pytest.raises(DataError, match=message) as found:
        run_paper(f"imagenet-mistakes:{QUICK},small_data={spec}", out=tmp_path / "run", data=folder)
    assert "\n" not in str(found.value)
    assert "get it again" in str(found.value)
    with pytest.raises(DataError, match="is no folder: name the one that holds vit3b"):
        run_paper(f"imagenet-mistakes:{QUICK},small_data={spec}", out=tmp_path / "other", data="nowhere")
