"""Fitted detectors together: scores, thresholds, a folder that is written and read back, and damaged folders."""

from __future__ import annotations

import json

import pytest
import torch

from unshaken.core import Classifier
from unshaken.core.errors import DataError, ModelError, ParameterError, RunError
from unshaken.detect import DetectorSet, fit
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.detector_set import check_accept, load_detector, thresholds
from unshaken.detect.engine.screen import FittedDetector
from unshaken.detect.scores.energy import energy
from unshaken.detect.scores.rigid import RIGID
from unshaken.store.run_dir import RunDir


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
    fitted.save(tmp_path / "d")
    back = DetectorSet.load(tmp_path / "d", fitted.detector_set.model)
    images = torch.rand(4, 1, 28, 28)
    for label, values in fitted.detector_set.score(images).items():
        assert torch.allclose(back.score(images)[label], values)
        assert back.threshold(label) == fitted.detector_set.threshold(label)
    assert back.about == fitted.detector_set.about
    assert back.detectors["knn"].method.k == 5


@pytest.mark.parametrize("other", ["", "0", "f" * 64])
def test_the_fingerprint_must_be_the_same_and_not_above_or_below(fitted, tmp_path, other):
    fitted.save(tmp_path / "d")
    file = tmp_path / "d" / "detectors.json"
    kept = json.loads(file.read_text())
    kept["about"]["fingerprint"] = other
    file.write_text(json.dumps(kept))
    with pytest.raises(ModelError, match="fitted on another model"):
        DetectorSet.load(tmp_path / "d", fitted.detector_set.model)


def test_the_accepted_share_is_what_is_asked_for(fitted):
    images = torch.rand(50, 1, 28, 28)
    scores, at = fitted.detector_set.score(images)["knn"], fitted.detector_set.threshold("knn", 0.8).value
    assert torch.equal(fitted.detector_set.decide(images, accept=0.8)["knn"], scores <= at)
    assert fitted.detector_set.threshold("knn", 0.8).value < fitted.detector_set.threshold("knn", 0.95).value


def test_a_score_at_the_threshold_is_accepted(fitted):
    images = torch.rand(9, 1, 28, 28)
    scores = fitted.detector_set.score(images)
    own = fitted.detector_set.calibrated(scores, "these")
    at = own.threshold("msp", 0.5).value
    assert at in scores["msp"].tolist()
    assert own.decide(images, accept=0.5)["msp"].sum() == 5  # the fifth of nine scores is the threshold


def test_thresholds_from_other_scores_say_where_they_come_from(fitted):
    scores = {n: torch.tensor([3.0, 1.0, 2.0]) for n in fitted.detector_set.detectors}
    found = fitted.detector_set.calibrated(scores, "other", ["a", "b", "c", "d"])
    assert found.detectors["knn"].calibration.tolist() == [1, 2, 3]
    assert found.about["samples"] == {**fitted.detector_set.about["samples"], "calibration": 3}
    assert found.about["calibrated_on"] == "other"
    assert found.about["unread"] == {"samples": 4, "first": ["a", "b", "c"]}
    assert len(fitted.detector_set.detectors["knn"].calibration) == 60


def test_what_a_detector_draws_follows_from_the_seed_of_the_fit(toy):
    images = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    rigid = {"rigid": FittedDetector(RIGID(sigma=0.1), {}, torch.zeros(0))}
    none, zero, one = (
        DetectorSet(toy, Anatomy.of(toy, images), rigid, about).score(images)["rigid"]
        for about in ({}, {"seed": 0}, {"seed": 1})
    )
    assert torch.equal(none, zero)
    assert not torch.allclose(one, zero, rtol=1e-2)


def test_a_folder_is_read_without_its_model(fitted, tmp_path):
    fitted.save(tmp_path / "d")
    alone = load_detector(tmp_path / "d", "knn")
    assert alone.method.k == 5
    assert torch.equal(alone.bank["bank"], fitted.detector_set.detectors["knn"].bank["bank"])
    assert torch.equal(alone.calibration, fitted.detector_set.detectors["knn"].calibration)
    with pytest.raises(ParameterError, match=r"no detector 'kn' in .*; did you mean 'knn'"):
        load_detector(tmp_path / "d", "kn")
    found = thresholds(tmp_path / "d", 0.8)
    assert found == {n: fitted.detector_set.threshold(n, 0.8) for n in fitted.detector_set.detectors}


def test_a_method_that_is_no_detector_is_damage(fitted, tmp_path):
    fitted.detector_set.only("msp").save(tmp_path / "d")
    record = json.loads((tmp_path / "d" / "detectors.json").read_text())
    given = {"folder": "x", "digest": "y", "detectors": "z"}
    record["detectors"][0] |= {"method": "screening", "params": given}
    (tmp_path / "d" / "detectors.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match="'screening' is no detector to fit"):
        DetectorSet.load(tmp_path / "d", fitted.detector_set.model)


def test_a_share_needs_as_many_samples_as_can_promise_it():
    check_accept(0.95, 19)
    with pytest.raises(ParameterError, match=r"accept=0\.95 needs 19 calibration samples and there are 18"):
        check_accept(0.95, 18)


def test_another_model_is_refused(fitted, tmp_path):
    from unshaken.models import load_model

    fitted.save(tmp_path / "d")
    with pytest.raises(
        ModelError, match=r"these detectors were fitted on another model \(demo:standard, .*: fit again with this one"
    ):
        DetectorSet.load(tmp_path / "d", load_model("demo:robust"))


def test_a_model_that_sees_photos_otherwise_is_refused(fitted, tmp_path):
    from unshaken.models import load_model

    fitted.save(tmp_path / "d")
    wanted = r"photos seen so: .* 28 x 28 cut.*; 'demo:standard' sees them so: .* 14 x 14 cut.*: give the model"
    with pytest.raises(ModelError, match=wanted):
        DetectorSet.load(tmp_path / "d", load_model("demo:standard?size=14"))


def test_a_score_that_is_no_number(make, fitted):
    detector_set = fitted.detector_set
    odd = Classifier(make.Odd(lambda m: m * torch.nan), name="odd").eval()
    broken = DetectorSet(odd, detector_set.anatomy, detector_set.only("msp").detectors, detector_set.about)
    with pytest.raises(DataError, match="msp: the score of sample '0' is nan, and 1 more"):
        broken.score(torch.rand(2, 1, 28, 28))


def test_pixels_out_of_range(fitted):
    with pytest.raises(DataError, match=r"pixel values run from .* not within \[0, 1\]"):
        fitted.detector_set.score(torch.rand(2, 1, 28, 28) * 255)
    with pytest.raises(DataError, match=r"images must be \[N, C, H, W\]"):
        fitted.detector_set.score(torch.rand(28, 28))
    with pytest.raises(DataError, match=r"images must be \[N, C, H, W\], not of shape \(1, 2, 1, 28, 28\)"):
        fitted.detector_set.score(torch.rand(1, 2, 1, 28, 28))


def test_a_damaged_bank(fitted, tmp_path):
    fitted.save(tmp_path / "d")
    (tmp_path / "d" / "banks.safetensors").write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"banks\.safetensors cannot be read"):
        DetectorSet.load(tmp_path / "d", fitted.detector_set.model)


def test_a_detector_that_is_not_there(fitted):
    with pytest.raises(ParameterError, match="no detector 'kn' is fitted here; did you mean 'knn'"):
        fitted.detector_set.threshold("kn")


@pytest.mark.parametrize("writes", [0, 1])
def test_a_fit_that_is_stopped_between_its_files_leaves_what_is_refused_or_whole(
    make, fitted, tmp_path, monkeypatch, writes
):
    fitted.save(tmp_path / "d")
    write, done = RunDir.write, []

    def stopping(self, data, *parts):
        if len(done) == writes:
            raise KeyboardInterrupt
        write(self, data, *parts)
        done.append(parts)

    other = fit("demo:robust", "demo", make.METHODS, limit=300).detector_set
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
