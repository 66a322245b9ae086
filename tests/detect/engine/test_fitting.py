"""From a model and normal data to fitted detectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from unshaken.core import Classifier
from unshaken.core.errors import DataError, ModelError, ParameterError, RunError
from unshaken.data import load_data
from unshaken.detect import DetectorSet, Shares, fit
from unshaken.detect.engine.detector_set import thresholds
from unshaken.detect.engine.fitting import labels_of
from unshaken.detect.scores.energy import energy
from unshaken.detect.scores.msp import MSP
from unshaken.run import RunDir

METHODS = ["msp", "energy", "knn:k=5", "odin"]


@pytest.fixture(scope="module")
def fitted():
    return fit("demo", "demo", METHODS, take=300)


def test_nobody_serves_twice_and_places_hang_on_ids():
    ids = [f"s{i}" for i in range(200)]
    parts = Shares(tune=10).divide(ids, 0)
    assert [len(p) for p in parts] == [150, 10, 40]
    assert len(set(np.concatenate(parts))) == 200
    back = Shares(tune=10).divide(ids[::-1], 0)
    assert all({ids[i] for i in a} == {ids[::-1][i] for i in b} for a, b in zip(parts, back, strict=True))


def test_names_are_made_unique():
    assert labels_of([MSP(), MSP(), MSP()]) == ["msp", "msp-2", "msp-3"]


def test_a_fit_says_where_it_comes_from(fitted):
    about = fitted.detector_set.about
    assert about["samples"] == {"bank": 210, "tune": 30, "calibration": 60, "bad": 0}
    assert not fitted.bad
    assert list(fitted.detector_set.detectors) == ["msp", "energy", "knn", "odin"]
    assert all(len(f.calibration) == 60 for f in fitted.detector_set.detectors.values())


def test_scores_are_those_of_the_logits(fitted):
    images = torch.rand(5, 1, 28, 28)
    with torch.no_grad():
        want = energy(fitted.detector_set.model(images).double())
    assert torch.allclose(fitted.detector_set.score(images)["energy"], want, atol=1e-4)


def test_a_sample_alone_scores_as_in_company(fitted):
    images = torch.rand(6, 1, 28, 28)
    together = fitted.detector_set.score(images)
    for label, values in together.items():
        alone = torch.cat([fitted.detector_set.score(x[None])[label] for x in images])
        assert torch.allclose(alone, values, atol=1e-5), label


def test_inference_mode_around_it_changes_nothing(fitted):
    images = torch.rand(4, 1, 28, 28)
    want = fitted.detector_set.score(images)["odin"]
    with torch.inference_mode():
        found = fitted.detector_set.score(images * 1)["odin"]
    assert torch.allclose(found, want, atol=1e-6)


def test_what_is_saved_is_what_is_read(fitted, tmp_path):
    fitted.detector_set.save(tmp_path / "d")
    back = DetectorSet.load(tmp_path / "d", fitted.detector_set.model)
    images = torch.rand(4, 1, 28, 28)
    for label, values in fitted.detector_set.score(images).items():
        assert torch.allclose(back.score(images)[label], values)
        assert back.threshold(label) == fitted.detector_set.threshold(label)
    assert back.about == fitted.detector_set.about
    assert back.detectors["knn"].method.k == 5


def test_the_accepted_share_is_what_is_asked_for(fitted):
    images = torch.rand(50, 1, 28, 28)
    scores, at = fitted.detector_set.score(images)["knn"], fitted.detector_set.threshold("knn", 0.8).value
    assert torch.equal(fitted.detector_set.decide(images, accept=0.8)["knn"], scores <= at)
    assert fitted.detector_set.threshold("knn", 0.8).value < fitted.detector_set.threshold("knn", 0.95).value


def test_another_model_is_refused(fitted, tmp_path):
    from unshaken.models import load_model

    fitted.detector_set.save(tmp_path / "d")
    with pytest.raises(
        ModelError, match=r"these detectors were fitted on another model \(demo:standard, .*: fit again with this one"
    ):
        DetectorSet.load(tmp_path / "d", load_model("demo:robust"))


def test_memory_of_a_fit_does_not_grow_with_the_data():
    few, many = (fit("demo", "demo", ["knn:k=5"], take=n, shares=Shares(keep=50)).detector_set for n in (200, 600))
    assert len(few.detectors["knn"].bank["bank"]) == len(many.detectors["knn"].bank["bank"]) == 50


# Bad input.


def test_no_detector():
    with pytest.raises(ParameterError, match="nothing is no detector to fit: name one"):
        fit("demo", "demo", [])
    with pytest.raises(ParameterError, match="screening is no detector to fit"):
        fit("demo", "demo", ["screening:folder=x,digest=y,detectors=z"])


def test_an_unknown_detector_with_near_names():
    with pytest.raises(ParameterError, match="no method 'kn' in detect: did you mean 'knn'"):
        fit("demo", "demo", ["kn"])


def test_too_few_samples():
    with pytest.raises(DataError, match="5 samples are too few to fit on"):
        fit("demo", "demo", ["msp"], take=5)


def test_too_small_a_bank():
    with pytest.raises(DataError, match="the bank has 35 samples, fewer than k=50"):
        fit("demo", "demo", ["knn"], take=50)


def test_shares_out_of_range():
    with pytest.raises(ParameterError, match=r"calibration=1.5 must lie inside \(0, 1\)"):
        Shares(calibration=1.5)
    with pytest.raises(ParameterError, match="keep=0"):
        Shares(keep=0)


class Odd(nn.Module):
    """Its features are what a function makes of the mean pixel."""

    def __init__(self, function):
        super().__init__()
        self.function, self.head = function, nn.Linear(2, 10)

    def forward(self, x):
        return self.head(self.function(x.mean((1, 2, 3))[:, None].expand(-1, 2)))


def test_a_feature_that_is_no_number():
    model = Classifier(Odd(lambda m: torch.where(m > 0.45, torch.nan, m)), name="odd").eval()
    with pytest.raises(DataError, match=r"knn: what was fitted \(bank\) is not finite"):
        fit(model, "demo", ["knn:k=3"], take=100)


def test_a_score_that_is_no_number(fitted):
    detector_set = fitted.detector_set
    odd = Classifier(Odd(lambda m: m * torch.nan), name="odd").eval()
    broken = DetectorSet(odd, detector_set.anatomy, detector_set.only("msp").detectors, detector_set.about)
    with pytest.raises(DataError, match="msp: the score of sample '0' is nan, and 1 more"):
        broken.score(torch.rand(2, 1, 28, 28))


def test_pixels_out_of_range(fitted):
    with pytest.raises(DataError, match=r"pixel values run from .* not within \[0, 1\]"):
        fitted.detector_set.score(torch.rand(2, 1, 28, 28) * 255)
    with pytest.raises(DataError, match=r"images must be \[N, C, H, W\]"):
        fitted.detector_set.score(torch.rand(28, 28))


def test_labels_that_are_needed_and_absent():
    data = load_data("demo").unlabelled()
    with pytest.raises(DataError, match="mahalanobis: a fit needs the class of each image, and 'demo' has none"):
        fit("demo", data, ["mahalanobis"])


def test_one_class_only():
    data = load_data("demo")
    data.labels = np.zeros_like(data.labels)
    with pytest.raises(DataError, match="mahalanobis: a fit needs two classes or more, and the data has only"):
        fit("demo", data, ["mahalanobis"])


def test_a_folder_without_detectors(tmp_path):
    from unshaken.models import load_model

    with pytest.raises(RunError, match=r"no detectors.json found; give a folder written by"):
        DetectorSet.load(tmp_path, load_model("demo"))


def test_a_damaged_bank(fitted, tmp_path):
    fitted.detector_set.save(tmp_path / "d")
    (tmp_path / "d" / "banks.safetensors").write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"banks\.safetensors cannot be read"):
        DetectorSet.load(tmp_path / "d", fitted.detector_set.model)


def test_a_detector_that_is_not_there(fitted):
    with pytest.raises(ParameterError, match="no detector 'kn' is fitted here; did you mean 'knn'"):
        fitted.detector_set.threshold("kn")


@pytest.mark.parametrize("writes", [0, 1])
def test_a_fit_that_is_stopped_between_its_files_leaves_what_is_refused_or_whole(fitted, tmp_path, monkeypatch, writes):
    fitted.detector_set.save(tmp_path / "d")
    write, done = RunDir.write, []

    def stopping(self, data, *parts):
        if len(done) == writes:
            raise KeyboardInterrupt
        write(self, data, *parts)
        done.append(parts)

    other = fit("demo:robust", "demo", METHODS, take=300).detector_set
    monkeypatch.setattr(RunDir, "write", stopping)
    with pytest.raises(KeyboardInterrupt):
        other.save(tmp_path / "d")
    monkeypatch.undo()
    if writes:
        with pytest.raises(RunError, match="are of two different fits, as when a fit was stopped between them"):
            DetectorSet.load(tmp_path / "d", fitted.detector_set.model)
        with pytest.raises(RunError, match="two different fits"):
            thresholds(tmp_path / "d")
    else:
        assert list(DetectorSet.load(tmp_path / "d", fitted.detector_set.model).detectors) == list(
            fitted.detector_set.detectors
        )


def test_a_share_that_the_samples_cannot_promise_is_refused_before_the_fit():
    with pytest.raises(ParameterError, match=r"accept=0.999 needs 999 calibration samples and there are 20"):
        fit("demo", "demo", ["msp"], take=100, accept=0.999)
