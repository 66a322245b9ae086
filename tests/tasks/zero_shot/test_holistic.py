"""The whole comparison on tinted pictures: figures by hand from rows, one page, and a resume that loads nothing."""

from __future__ import annotations

import importlib
import json
import sys

import numpy as np
import pytest
import torch
from torch import nn

from tests.tasks.zero_shot.toy import COLOURS, colour_encoder, tinted
from unshaken.api import holistic
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.data.arrays import InMemory
from unshaken.report.rebuild import rebuild_report
from unshaken.store.run_dir import RunDir
from unshaken.tasks.zero_shot import Candidate, Captions

MODULE = importlib.import_module("unshaken.tasks.zero_shot.comparison")
IMAGES, LABELS = tinted(30)
DATA = InMemory(IMAGES, LABELS, classes=COLOURS)
NOISE = InMemory(
    torch.randint(0, 255, (12, 3, 8, 8), generator=torch.Generator().manual_seed(1)).byte(), ids=list("abcdefghijkl")
)
TWO = InMemory(IMAGES[LABELS < 2], LABELS[LABELS < 2], classes=COLOURS[:2])
CAPTIONS = Captions.of(
    {str(i): [f"{COLOURS[int(k)]} one", f"something {COLOURS[int(k)]}"] for i, k in enumerate(LABELS[:6])}
)
FACTORS = {"faint": [str(i) for i in range(10)], "few": ["3", "4"]}


def head(order: tuple[int, ...] = (0, 1, 2)) -> Classifier:
    """A head whose classes stand in another order."""
    net, rows = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)), list(order)
    net[2].weight.data, net[2].bias.data = 8 * torch.eye(3)[rows], torch.tensor([0.0, 0.5, 0.0])[rows]
    return Classifier(net, classes=[COLOURS[i] for i in rows])


def models() -> dict[str, Candidate]:
    zero_shot = {
        f"clip {i}": Candidate(
            model=colour_encoder(0.1 * i, 0.4 * i),
            templates=["a {}", "the {} thing"],
            factors={"architecture": "RN" if i % 2 else "ViT", "family": "zero-shot"},
        )
        for i in range(4)
    }
    return {**zero_shot, "head": Candidate(model=head(), factors={"fine_tuned": "standard", "architecture": "RN"})}


def compare(out, candidates=None, **options):
    given = {
        "plan": [{"method": "fog_3d", "severities": [1, 5]}], "factors": FACTORS, "shifts": {"two": TWO},
        "captions": CAPTIONS, "choose": lambda image, question, names: 0, "choices": 2, "asked": 6, "out": out,
        "batch_size": 16, "workers": 1,
    }  # fmt: skip
    return holistic(candidates or models(), DATA, **{**given, **options})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return compare(tmp_path_factory.mktemp("holistic") / "run")


def test_every_aspect_has_figures(finished):
    found = finished.summary["models"]["clip 1"]
    assert set(found) == {
        "accuracy", "visual", "shape", "abnormal", "calibration", "retrieval", "corruptions", "choices", "prompts",
    }  # fmt: skip
    assert set(found["calibration"]["sets"]) == {"half of the data", "fog_3d-1", "fog_3d-5", "two"}
    assert set(found["corruptions"]) == {"1", "5"}
    assert set(found["retrieval"]) == {"image-to-text", "text-to-image"}
    assert len(found["prompts"]["alone"]) == 2
    other = finished.summary["models"]["head"]
    assert (other["retrieval"], other["prompts"]) == ({}, {})
    assert set(finished.summary["shifted"]) == {
        "faint",
        "few",
        "corruptions, severity 1",
        "corruptions, severity 5",
        "two",
    }
    assert {"architecture"} == {g["factor"] for g in finished.summary["groups"]}


def test_figures_follow_from_rows(finished):
    run = RunDir(finished.run.path)
    found = finished.summary["models"]["clip 2"]
    rows = RunDir(f"{run}/2-clip-2/audit").rows("outcomes").to_pylist()
    clean = {r["id"]: r for r in rows if r["condition"] == "clean"}
    faint = [clean[i]["correct"] for i in FACTORS["faint"]]
    accuracy = np.mean([r["correct"] for r in clean.values()])
    assert found["visual"]["faint"]["accuracy"]["value"] == pytest.approx(np.mean(faint))
    assert found["visual"]["faint"]["error_ratio"]["value"] == pytest.approx((1 - np.mean(faint)) / (1 - accuracy))
    fogged = [r["correct"] for r in rows if r["condition"] == "fog_3d-5"]
    assert found["corruptions"]["5"]["value"] == pytest.approx(np.mean(fogged))
    shifted = RunDir(f"{run}/2-clip-2/shift-two").rows("outcomes").to_pylist()
    within = [int(np.argmax(r["logits"][:2])) == r["label"] for r in shifted]  # of two classes alone
    assert found["calibration"]["sets"]["two"]["accuracy"]["value"] == pytest.approx(np.mean(within))
    prompts = run.rows("prompts", condition="2-clip-2").to_pylist()
    assert {r["id"]: r["correct"] for r in prompts} == {i: r["correct"] for i, r in clean.items()}
    both = run.rows("retrievals", condition="2-clip-2").to_pylist()
    assert [len([r for r in both if r["direction"] == d]) for d in ("image-to-text", "text-to-image")] == [6, 12]
    choices = run.rows("choices").to_pylist()
    assert len(choices) == 6
    assert all(r["chosen"] == r["options"][0] and r["label"] in r["options"] for r in choices)


def test_the_page_shows_every_aspect_and_is_made_again_from_rows(finished):
    text = (finished.run.read("report.md")).decode()
    for part in (
        "Visual factors and shifts",
        "Shape bias",
        "Calibration",
        "Retrieval",
        "Corruptions",
        "language model",
    ):
        assert part in text
    assert "<svg" in finished.run.read("report.html").decode()
    record = rebuild_report(RunDir(finished.run.path))
    assert finished.run.read("report.md").decode() == text
    assert record["finished"]
    assert [m["done"] for m in json.loads(finished.run.read("holistic.json"))["models"]] == [True] * 5
    assert json.loads(finished.run.read("figures.json")) == {"schema": 1, **json.loads(json.dumps(finished.summary))}


def test_a_resume_does_nothing_again(finished, monkeypatch):
    monkeypatch.setattr(MODULE.Steps, "all", None)
    again = compare(finished.run.path, resume=True)
    assert again.summary == finished.summary
    with pytest.raises(RunError, match="already holds an evaluation"):
        compare(finished.run.path)
    with pytest.raises(RunError, match="other settings"):
        compare(finished.run.path, resume=True, seed=1)


def test_abnormal_images_and_an_interruption(tmp_path, monkeypatch):
    """The first model is not done again after the second failed. MCM scores raw cosines, MSP the logits of a head."""
    monkeypatch.setattr(sys.modules["unshaken.api.detect"], "load_data", lambda spec, download: NOISE)
    options = {
        "plan": [], "factors": None, "shifts": None, "captions": None, "choose": None, "cues": None, "against": "far=x",
    }  # fmt: skip
    chosen = {name: c for name, c in models().items() if name in ("clip 0", "head")}
    begun, whole = [], MODULE.Steps.all

    def fails(self, own, known):
        if own.name == "head":
            raise KeyboardInterrupt
        whole(self, own, known)

    monkeypatch.setattr(MODULE.Steps, "all", fails)
    with pytest.raises(KeyboardInterrupt):
        compare(tmp_path / "run", chosen, **options)
    monkeypatch.setattr(MODULE.Steps, "all", lambda self, own, known: begun.append(own.name) or whole(self, own, known))
    found = compare(tmp_path / "run", chosen, resume=True, **options)
    assert begun == ["head"]
    for name, key in (("clip 0", "0-clip-0"), ("head", "1-head")):
        normal = {r["id"]: r["score"] for r in RunDir(f"{found.run}/{key}/detect").rows("scores").to_pylist()}
        logits = {r["id"]: r["logits"] for r in RunDir(f"{found.run}/{key}/audit").rows("outcomes").to_pylist()}
        scale = 10.0 if name == "clip 0" else 1.0
        expected = {i: 1 - torch.tensor(z).double().div(scale).softmax(0).max().item() for i, z in logits.items()}
        assert normal == pytest.approx(expected, rel=1e-4, abs=1e-7)
        assert 0 <= found.summary["models"][name]["abnormal"]["far-x"]["auroc"]["value"] <= 1


PLAIN = {"plan": [], "factors": None, "shifts": None, "captions": None, "choose": None, "cues": None}


@pytest.mark.parametrize("old", [False, True])
def test_a_resume_with_another_model_under_the_same_name_is_refused(tmp_path, old):
    one, other = ({"one": Candidate(model=colour_encoder(turn, noise))} for turn, noise in ((0.0, 0.0), (0.5, 3.0)))
    found = compare(tmp_path / "run", one, **PLAIN)
    if old:  # a record of a version that kept no fingerprint: the audit beneath has one
        record = json.loads(found.run.read("holistic.json"))
        del record["models"][0]["fingerprint"]
        found.run.write_json(record, "holistic.json")
    with pytest.raises(RunError, match="model 'one' was begun with other weights"):
        compare(tmp_path / "run", other, resume=True, **PLAIN)
    assert compare(tmp_path / "run", one, resume=True, **PLAIN).summary == found.summary


def test_a_model_that_numbers_its_classes_otherwise_chooses_between_the_same_options(tmp_path):
    given = {"clip": Candidate(model=colour_encoder()), "one": Candidate(model=head()),
             "other": Candidate(model=head((2, 0, 1)))}  # fmt: skip
    asked = {**PLAIN, "choose": lambda image, question, names: names.index(min(names)), "choices": 3, "asked": 30}
    found = compare(tmp_path / "run", given, **asked).summary["models"]
    assert found["other"]["choices"] == found["one"]["choices"]
    assert found["other"]["choices"]["classifier"]["value"] == found["other"]["accuracy"]["value"]


def test_an_interrupted_comparison_goes_on_with_its_models_in_another_order(tmp_path, monkeypatch):
    chosen = {name: c for name, c in models().items() if name in ("clip 0", "head")}
    whole = MODULE.Steps.all

    def stops(self, own, known):
        whole(self, own, known)
        raise KeyboardInterrupt

    monkeypatch.setattr(MODULE.Steps, "all", stops)
    with pytest.raises(KeyboardInterrupt):
        compare(tmp_path / "run", chosen, **PLAIN)
    monkeypatch.setattr(MODULE.Steps, "all", whole)
    found = compare(tmp_path / "run", dict(reversed(chosen.items())), resume=True, **PLAIN)
    folders = sorted(p.name for p in (tmp_path / "run").iterdir() if p.name[0].isdigit())
    assert folders == ["0-clip-0", "1-head"]
    assert set(found.summary["models"]) == {"clip 0", "head"}


def test_one_model_has_figures_and_no_line(tmp_path):
    only = {"one": Candidate(model=colour_encoder())}
    found = compare(tmp_path / "run", only, cues=None, shifts=None, captions=None, choose=None)
    assert found.summary["groups"] == []
    assert all(not own["lines"] and not own["effective"] for own in found.summary["shifted"].values())
    assert "need 3 other models" in found.run.read("report.md").decode()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"factors": {"pose": ["nobody"]}}, DataError, "1 images that the data does not have, such as 'nobody'"),
        ({"captions": Captions.of({"x": ["one"]})}, DataError, "captions are of images that the data does not have"),
        ({"baseline": "CLIP"}, ParameterError, "no model is of the family 'CLIP'; the families are"),
        ({"choices": 1}, ParameterError, "choices=1 must be 2 or more"),
        ({"asked": 0}, ParameterError, "asked=0 must be 1 or more"),
        ({"choices": 4}, ParameterError, "choices=4 options are wanted of 3 classes: give 3 at most"),
        ({"shifts": {"a b": TWO}}, ParameterError, "the name 'a b' of a shifted set"),
        ({"shifts": {"few": TWO}}, ParameterError, "the shifted set 'few' has the name of a factor: rename"),
        ({"shifts": {"fog_3d-5": TWO}}, ParameterError, "the shifted set 'fog_3d-5' has the name of a condition"),
        ({"shifts": {"photos": TWO}}, ParameterError, "the shifted set 'photos' has the name of a set of this comp"),
        ({"plan": [{"method": "fogg"}]}, ParameterError, "no method 'fogg'"),
        ({"cues": "cue-conflit"}, ParameterError, "cue-conflit"),
        ({"shifts": {"bare": InMemory(IMAGES, None)}}, DataError, "the shifted set 'bare' has no labels"),
        ({"candidates": {"x": colour_encoder()}}, ParameterError, "'x' must come as Candidate.*, not as DualEncoder"),
        (
            {"candidates": {"x": Candidate(model=colour_encoder(), templates=["a"])}},
            ParameterError,
            "template 'a' has no",
        ),
        ({"limit": 0}, ParameterError, "limit"),
        ({"against": "=x"}, ParameterError, "is not of the form GROUP=SPEC"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_any_work(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        compare(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_model_that_cannot_be_loaded_is_told_before_any_work(tmp_path):
    given = {"one": Candidate(model=colour_encoder()), "other": Candidate(model="torchvision:resnet999")}
    with pytest.raises(ParameterError, match="no classifier or detector 'resnet999'"):
        compare(tmp_path / "run", given, **PLAIN)
    assert not [p for p in (tmp_path / "run").iterdir() if p.is_dir()]


def test_a_dual_encoder_needs_names_of_classes(tmp_path):
    only = {"one": Candidate(model=colour_encoder())}
    with pytest.raises(DataError, match="needs names of the classes for its prompts"):
        holistic(only, InMemory(IMAGES, LABELS), out=tmp_path / "run")
