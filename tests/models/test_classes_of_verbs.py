"""Every verb that takes a model and data matches their classes, and says what cannot be matched."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from torch import nn

import unshaken
from unshaken.core import Classifier
from unshaken.core.classifier import View
from unshaken.core.errors import DataError, ParameterError
from unshaken.data import load_data
from unshaken.detect import fit
from unshaken.harden.engine.prepared import prepared
from unshaken.harden.engine.training import Training
from unshaken.report.compare import compare_runs
from unshaken.serve.score.calibration import calibrate

NAMES = ("ant", "bee", "cat", "dog")


class Line(nn.Module):
    """Four logits, linear in the pixels of 4 x 4 images in colour."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(48, 4)
        with torch.no_grad():
            self.head.weight.zero_().add_(torch.tensor([[-1.0], [0], [1], [2]]) / 48)

    def forward(self, x):
        return self.head(x.flatten(1))


def net(**more):
    return Classifier(Line(), name="line", view=View(4, 4), **more).eval()


def write(folder, *names):
    for name in names:
        (folder / name).mkdir(parents=True)
        for i in range(20):
            Image.new("RGB", (4, 4), (12 * i, 99, 9)).save(folder / name / f"{i}.png")
    return f"folder:{folder}"


@pytest.fixture
def photos(tmp_path):
    return write(tmp_path / "photos", "cat", "dog")


def train(model, data):
    return prepared(model, load_data(data), Training(), new_head=False, limit=None, workers=1, download=False)


VERBS = {
    "audit": lambda model, data: unshaken.audit(model, data, []),
    "attack": lambda model, data: unshaken.attack(model, data, "fgsm", eps=[0.1]),
    "certify": lambda model, data: unshaken.certify(model, data, "smoothing"),
    "fit": lambda model, data: fit(model, data, ["mahalanobis"]),
    "explain": lambda model, data: unshaken.explain(model, data, "gradcam", target="label"),
    "harden": train,
    "serve": lambda model, data: calibrate(model, load_data(data)),
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_refuses_classes_of_which_nothing_says_which_they_are(verb, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"'line' has 4 outputs without class names, .* 2 classes \('cat', 'dog'"):
        VERBS[verb](net(), photos)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_names_the_classes_that_cannot_be_matched(verb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="1 of its 2 classes are no class of model 'line': 'gnu'"):
        VERBS[verb](net(classes=NAMES), write(tmp_path / "others", "cat", "gnu"))


@pytest.mark.parametrize("verb", ["fit", "harden"])
def test_verbs_that_choose_among_all_classes_refuse_to_choose_among_some(verb, photos):
    with pytest.raises(ParameterError, match=r"within=data is for audits, .*, and not to"):
        VERBS[verb](net(classes=NAMES, within="data"), photos)


def test_training_names_the_option_that_replaces_the_last_layer(photos):
    with pytest.raises(DataError, match="--new-head replaces the last layer by one for the data's classes"):
        train(net(), photos)


def test_labels_that_a_detector_does_not_need_are_left_out_in_one_line(tmp_path):
    spec = write(tmp_path / "others", "cat", "gnu")
    assert fit(net(classes=NAMES), spec, ["msp"]).labels == (
        "not used: 1 of the data's 2 classes are no class of model 'line': 'gnu'"
    )


def test_maps_of_predictions_leave_such_labels_out_and_say_so(tmp_path):
    spec = write(tmp_path / "others", "cat", "gnu")
    done = unshaken.explain(net(classes=NAMES), spec, "gradient", limit=2, out=tmp_path / "run")
    assert done.summary.remarks == ["labels: not used: 1 of the data's 2 classes are no class of model 'line': 'gnu'"]
    assert "no class of model" in (tmp_path / "run" / "report.html").read_text()


def test_integers_of_a_program_are_numbers_of_outputs(tmp_path):
    images, labels = torch.rand(6, 3, 4, 4).mul(255).byte(), torch.tensor([0, 1, 3, 0, 1, 3])
    done = unshaken.audit(net(), (images, labels), [], out=tmp_path / "run")
    assert done.summary["provenance"]["labels"] == "by position, for the labels are numbers without names"
    assert done.summary["flags"] == [] or "classes-by-position" not in {f["name"] for f in done.summary["flags"]}


def test_who_insists_on_positions_reads_so_in_the_first_sentence(photos, tmp_path):
    done = unshaken.audit(net(by_position=True), photos, [], out=tmp_path / "run")
    assert "classes-by-position" in {f["name"] for f in done.summary["flags"]}
    assert f"{photos}</code>, classes taken by position, is" in (tmp_path / "run" / "report.html").read_text()


def test_a_limit_takes_no_class_away(tmp_path):
    spec = write(tmp_path / "four", *NAMES)
    done = unshaken.audit(net(), spec, [], limit=2, out=tmp_path / "run")
    assert done.summary["provenance"]["labels"].startswith("by position, for the model has no class names")


def test_runs_among_other_numbers_of_classes_say_so_side_by_side(photos, tmp_path):
    runs = [
        unshaken.audit(net(classes=NAMES, within=within), photos, [], out=tmp_path / within).run
        for within in ("all", "data")
    ]
    (pair,) = compare_runs(runs).runs
    assert pair.notes[0].startswith("the runs are scored among 4 and 2 classes")
