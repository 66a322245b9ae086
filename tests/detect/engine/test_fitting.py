"""From a model and normal data to fitted detectors."""

from __future__ import annotations

import inspect
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from unshaken.core import Classifier
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.options import DETECTORS
from unshaken.core.registry import as_methods
from unshaken.data import load_data
from unshaken.detect import DetectorSet, Shares, fit
from unshaken.detect.engine.fitting import labels_of
from unshaken.detect.scores.msp import MSP


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
    assert not fitted.bad_samples
    assert list(fitted.detector_set.detectors) == ["msp", "energy", "knn", "odin"]
    assert all(len(f.calibration) == 60 for f in fitted.detector_set.detectors.values())


def test_memory_of_a_fit_does_not_grow_with_the_data():
    few, many = (fit("demo", "demo", ["knn:k=5"], limit=n, shares=Shares(keep=50)).detector_set for n in (200, 600))
    assert len(few.detectors["knn"].bank["bank"]) == len(many.detectors["knn"].bank["bank"]) == 50


def test_parts_of_the_fewest_samples():
    parts = Shares(keep=1, tune=1).divide([f"s{i}" for i in range(20)], 0)
    assert [len(p) for p in parts] == [15, 1, 4]
    assert [len(p) for p in Shares().divide([f"s{i}" for i in range(20)], 0)] == [14, 2, 4]
    assert [len(p) for p in Shares(calibration=0.85).divide([f"s{i}" for i in range(20)], 0)] == [1, 2, 17]
    one, other = (Shares().divide([f"s{i}" for i in range(100)], seed) for seed in (0, 1))
    assert set(one[2].tolist()) != set(other[2].tolist())


class Widths(nn.Module):
    """Mean pixels as logits; it notes how many images came at once."""

    seen: ClassVar[list[int]] = []

    def forward(self, x):
        self.seen.append(len(x))
        return torch.cat([x.mean((1, 2, 3))[:, None] * k for k in range(10)], 1)


@pytest.mark.parametrize("size", [1, 7])
def test_no_pass_has_more_images_than_asked_for(size):
    Widths.seen.clear()
    fit(Classifier(Widths()).eval(), "demo", ["energy"], limit=60, batch_size=size)
    assert max(Widths.seen[4:]) == size


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
        fit("demo", "demo", ["msp"], limit=5)
    with pytest.raises(DataError, match="19 samples are too few to fit on"):
        Shares().divide([f"s{i}" for i in range(19)], 0)
    for share in (0.02, 0.9):
        with pytest.raises(DataError, match=rf"calibration={share} of 20 samples leaves"):
            Shares(calibration=share).divide([f"s{i}" for i in range(20)], 0)


def test_too_small_a_bank():
    with pytest.raises(DataError, match="the bank has 35 samples, fewer than k=50"):
        fit("demo", "demo", ["knn"], limit=50)


def test_shares_out_of_range():
    with pytest.raises(ParameterError, match=r"calibration=1.5 must lie inside \(0, 1\)"):
        Shares(calibration=1.5)
    for share in (0, 1):
        with pytest.raises(ParameterError, match=f"calibration={share} must lie"):
            Shares(calibration=share)
    with pytest.raises(ParameterError, match="keep=0"):
        Shares(keep=0)
    with pytest.raises(ParameterError, match="tune=0"):
        Shares(tune=0)


def test_a_feature_that_is_no_number(make):
    model = Classifier(make.Odd(lambda m: torch.where(m > 0.45, torch.nan, m)), name="odd").eval()
    whole = fit("demo", "demo", ["knn:k=3"], limit=100).detector_set.about["samples"]
    for method in ("knn:k=3", "vim:dimensions=1"):
        found = fit(model, "demo", [method], limit=100)
        samples = found.detector_set.about["samples"]
        assert samples["bad"] == len(found.bad_samples) > 0
        assert sum(samples.values()) == sum(whole.values())
        assert {b.reason for b in found.bad_samples} <= {"the model gives NaN or infinite values for it",
                                                 f"the score of {method.partition(':')[0]} is nan"}  # fmt: skip
        (flag,) = found.flags
        assert (flag.name, set(flag.ids)) == ("non-finite", {b.id for b in found.bad_samples})
        fitted = found.detector_set.detectors[method.partition(":")[0]]
        assert all(bool(values.isfinite().all()) for values in (*fitted.bank.values(), fitted.calibration))
    nothing = Classifier(make.Odd(lambda m: m * torch.nan), name="odd").eval()
    with pytest.raises(
        DataError, match=r"no sample of 'demo' can be used, such as .*: the model gives NaN or infinite"
    ):
        fit(nothing, "demo", ["knn:k=3"], limit=100)


def test_labels_that_are_needed_and_absent():
    data = load_data("demo").unlabelled()
    with pytest.raises(DataError, match="mahalanobis: a fit needs the class of each image, and 'demo' has none"):
        fit("demo", data, ["mahalanobis"])


def test_one_class_only():
    data = load_data("demo")
    data.labels = np.zeros_like(data.labels)
    with pytest.raises(DataError, match="mahalanobis: a fit needs two classes or more, and the data has only"):
        fit("demo", data, ["mahalanobis"])


def test_images_without_a_class_are_none_of_two():
    data = load_data("demo")
    data.labels = np.where(data.labels == 3, 3, -1)
    with pytest.raises(DataError, match="mahalanobis: a fit needs two classes or more, and the data has only"):
        fit("demo", data, ["mahalanobis"])


def test_a_share_that_the_samples_cannot_promise_is_refused_before_the_fit():
    with pytest.raises(ParameterError, match=r"accept=0.999 needs 999 calibration samples and there are 20"):
        fit("demo", "demo", ["msp"], limit=100, accept=0.999)


def test_calibration_samples_that_cannot_be_read_promise_nothing(tmp_path):
    """20 samples set the thresholds, which 0.95 needs 19 of; two of them are no images."""
    data = hundred(tmp_path)
    for i in Shares().divide(data.ids, 0)[2][:2]:
        (tmp_path / data.ids[i]).write_bytes(b"no image")
    with pytest.raises(ParameterError, match=r"accept=0\.95 needs 19 calibration samples and there are 18"):
        fit("demo", f"folder:{tmp_path}", ["msp"], accept=0.95)


def hundred(folder):
    """A folder of 100 images in two classes."""
    pixels = load_data("demo").read(0)[..., 0]
    for name in [f"c{i % 2}/{i:03}.png" for i in range(100)]:
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
    return load_data(f"folder:{folder}")


def test_samples_that_cannot_be_read_are_counted_where_they_would_have_served(tmp_path):
    data = hundred(tmp_path)
    for part in Shares().divide(data.ids, 0):
        (tmp_path / data.ids[part[0]]).write_bytes(b"no image")
    found = fit("demo", f"folder:{tmp_path}", ["msp"])
    assert found.detector_set.about["samples"] == {"bank": 69, "tune": 9, "calibration": 19, "bad": 3}
    assert len(found.bad_samples) == 3
    calibration = found.detector_set.detectors["msp"].calibration
    assert calibration.tolist() == sorted(calibration.tolist())


def test_where_nothing_can_be_read_it_says_so(tmp_path):
    data = hundred(tmp_path)
    bank, _, calibration = Shares().divide(data.ids, 0)
    for i in calibration:
        (tmp_path / data.ids[i]).write_bytes(b"no image")
    with pytest.raises(DataError, match="none of the 20 samples that set thresholds can be used"):
        fit("demo", f"folder:{tmp_path}", ["msp"])
    for i in bank:
        (tmp_path / data.ids[i]).write_bytes(b"no image")
    with pytest.raises(DataError, match=r"no sample of .* can be used, such as .*: there is nothing to fit on"):
        fit("demo", f"folder:{tmp_path}", ["msp"])


def test_a_fit_scores_decides_and_saves_as_its_detectors(fitted, tmp_path):
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    ours, own = fitted.score(images), fitted.detector_set.score(images)
    assert all(torch.equal(ours[label], own[label]) for label in own)
    decided = fitted.decide(images, accept=0.9)["knn"]
    limit = fitted.detector_set.threshold("knn", 0.9).value
    assert decided.tolist() == [value <= limit for value in ours["knn"].tolist()]
    fitted.save(tmp_path / "d")
    again = DetectorSet.load(tmp_path / "d", fitted.detector_set.model)
    assert torch.equal(again.score(images)["knn"], ours["knn"])


def test_the_usual_detectors_are_those_of_the_command_line():
    shown = inspect.signature(fit).parameters
    assert shown["methods"].default == DETECTORS
    assert shown["device"].default == "auto"
    assert [m.info.name for m in as_methods(DETECTORS, "detect")] == list(DETECTORS)
