"""Model and detectors as one ONNX graph, run by onnxruntime."""

import json
import math
from inspect import isgeneratorfunction
from types import SimpleNamespace

import onnxruntime
import pytest
import torch
from torch import nn

from unshaken.core.errors import ModelError, ParameterError, RunError
from unshaken.core.registry import list_methods, register, unregister
from unshaken.data import load_data, stream
from unshaken.detect import Detector, fit
from unshaken.detect.engine import export as export_file
from unshaken.detect.engine.export import export
from unshaken.detect.engine.fitting import labels_of
from unshaken.detect.engine.screen import FittedDetector
from unshaken.detect.scores.ash import ASH
from unshaken.detect.scores.energy import Energy
from unshaken.detect.scores.knn import KNN
from unshaken.detect.scores.mahalanobis import Mahalanobis
from unshaken.detect.scores.msp import MSP
from unshaken.detect.scores.odin import ODIN
from unshaken.detect.scores.vim import ViM
from unshaken.detect.watermark.learned_watermark import LearnedWatermarkDetector

UNTRANSLATABLE = {"lid", "learned-watermark", "rankfeat"}
"""`learned-watermark` is trained briefly in `everything`; `rankfeat` wants another net, and has singular vectors.

`lid` has an operation that ONNX has not got; one like it is in the test of operations without a name.
"""
SMALLER = {"gram": {"powers": "1+3", "layer": "0+2"}}
"""Parameters with which a detector's graph is short."""


def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = nn.Conv2d(1, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 16, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2)
        return nn.Sequential(*body, nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 10)).eval()


def registered():
    """Every detector of images that can be made without parameters."""
    for method in list_methods("detect"):
        if not issubclass(method.cls, Detector) or not method.needs or "text" in method.needs:
            continue
        if method.name in UNTRANSLATABLE:
            continue
        try:
            yield method.cls(**SMALLER.get(method.name, {}))
        except ParameterError:
            continue


@pytest.fixture(scope="module")
def images():
    return next(stream(load_data("demo"), range(5), batch_size=5)).images


@pytest.fixture(scope="module")
def everything(tmp_path_factory, images):
    """All detectors fitted, what was exported of them, and a session on it."""
    methods = [*registered(), ASH(variant="p"), ASH(variant="b"), KNN(k=3), ViM(dimensions=8), Mahalanobis(eps=0.01)]
    methods.append(LearnedWatermarkDetector(steps=3))
    detector_set = fit(net(), "demo", methods, limit=300).detector_set
    written = export(detector_set, tmp_path_factory.mktemp("onnx") / "door.onnx", images)
    return methods, detector_set, written, onnxruntime.InferenceSession(str(written.file))


def answers(session, images):
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"images": images.numpy()}), strict=True))


@pytest.mark.parametrize("n", [1, 5])
def test_scores_are_those_of_torch(everything, images, n):
    """Within 1e-4 of the standard deviation of normal scores."""
    _, detector_set, written, session = everything
    found = answers(session, images[:n])
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(found["logits"]), detector_set.model(images[:n]), atol=1e-5)
    expected = detector_set.only(*written.thresholds).score(images[:n])
    for label, scores in expected.items():
        spread = detector_set.detectors[label].calibration.std().item()
        assert found[f"score_{label}"].shape == (n,)
        assert found[f"score_{label}"].tolist() == pytest.approx(scores.tolist(), abs=1e-4 * spread, rel=0), label


def test_every_detector_of_one_pass_is_there_and_others_have_a_reason(everything):
    methods, _, written, _ = everything
    for label, method in zip(labels_of(methods), methods, strict=True):
        one_pass = not isgeneratorfunction(type(method).score) and not getattr(method, "eps", 0)
        if one_pass and not method.not_exported:
            assert label in written.thresholds, written.refused[label]
        assert (label in written.thresholds) != (label in written.refused)
    assert "it asks the model again (Gradient)" in written.refused["odin"]
    assert "mahalanobis" in written.thresholds  # without pre-processing it asks nothing
    assert "mahalanobis-2" in written.refused
    assert {"dct", "spread-spectrum"} <= set(written.thresholds)
    assert "its decoder is a network of its own" in written.refused["learned-watermark"]


def test_the_metadata_hold_thresholds_and_parameters(everything):
    _, detector_set, written, session = everything
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["accept"] == "0.95"
    assert metadata["fingerprint"] == detector_set.about["fingerprint"]
    assert json.loads(metadata["detectors"])["knn-2"] == {"method": "knn", "params": {"k": 3}}
    for label in written.thresholds:
        assert float(metadata[f"threshold_{label}"]) == detector_set.threshold(label).value
        assert math.isfinite(written.thresholds[label])


def test_an_operation_without_a_name_in_onnx_is_refused_alone(tmp_path, images, capsys):
    @register("far", reference="none")
    class Far(Detector):
        """A distance matrix, which ONNX has not got."""

        def score(self, forward, bank):
            """Distance of the logits from 0."""
            return torch.cdist(forward.z, torch.zeros_like(forward.z[:1])).sum(1)

    try:
        detector_set = fit(net(), "demo", [Energy(), Far()], limit=100).detector_set
        written = export(detector_set, tmp_path / "door.onnx", images[:2], accept=0.8)
    finally:
        unregister("far")
    assert set(written.thresholds) == {"energy"}
    assert set(written.refused) == {"far"}
    assert all("cannot be written as an ONNX graph" in reason for reason in written.refused.values())
    assert "_cdist_forward" in written.refused["far"]
    assert set(answers(onnxruntime.InferenceSession(str(written.file)), images)) == {"logits", "score_energy"}
    assert written.thresholds["energy"] == detector_set.threshold("energy", 0.8).value
    assert capsys.readouterr().out == ""  # the exporter's own steps are not the user's


def test_what_cannot_be_written_is_said(tmp_path, images):
    detector_set = fit(net(), "demo", [MSP(), ODIN()], limit=100).detector_set
    with pytest.raises(ParameterError, match="no detector can be exported: odin: it asks the model again"):
        export(detector_set.only("odin"), tmp_path / "door.onnx", images)
    with pytest.raises(ParameterError, match="give two or more, so that their number stays open"):
        export(detector_set, tmp_path / "door.onnx", images[:1])
    with pytest.raises(RunError, match=r"nowhere/door.onnx: cannot be written \(No such file"):
        export(detector_set.only("msp"), tmp_path / "nowhere" / "door.onnx", images)


def test_what_is_larger_than_the_format_is_refused_and_the_largest_named(toy, monkeypatch):
    """The toy's head has 12 numbers in float32: 48 bytes."""
    assert 2**31 - 2**25 < export_file.LARGEST < 2**31  # of protobuf, and some room
    small, large = (FittedDetector(MSP(), {"a": torch.zeros(n), "b": torch.zeros(2)}, torch.zeros(0)) for n in (1, 5))
    monkeypatch.setattr(export_file, "LARGEST", 48 + 12 + 28)
    export_file._check_size(toy, {"small": small, "large": large})
    monkeypatch.setattr(export_file, "LARGEST", 48 + 12 + 27)
    with pytest.raises(ParameterError, match="leave out 'large'"):
        export_file._check_size(toy, {"small": small, "large": large})


def written(toy, anatomy, monkeypatch, fails, labels):
    """Graphs as the names of their scores; those for which `fails` is true cannot be made."""
    made = []

    def traced(graph, images, scores):
        made.append(scores)
        if fails(scores):
            raise RuntimeError("no such operation")
        return scores

    monkeypatch.setattr(export_file, "_traced", traced)
    detectors = {label: FittedDetector(MSP(), {}, torch.zeros(0)) for label in labels}
    owner = SimpleNamespace(model=toy, anatomy=anatomy)
    return export_file._written(owner, detectors, torch.zeros(2, 3, 4, 4)), made


@pytest.mark.parametrize(("labels", "graphs"), [("abf", 5), ("af", 3), ("ab", 1)])
def test_all_but_what_fails_by_itself_are_in_one_graph(toy, anatomy, monkeypatch, labels, graphs):
    (graph, reasons), made = written(toy, anatomy, monkeypatch, lambda scores: "score_f" in scores, labels)
    assert graph == [f"score_{label}" for label in labels if label != "f"]
    assert set(reasons) == set(labels) & {"f"}
    assert len(made) == graphs


@pytest.mark.parametrize("fails", [lambda scores: True, lambda scores: len(scores) > 1])
def test_a_model_of_which_no_graph_is_made_is_told_so(toy, anatomy, monkeypatch, fails):
    with pytest.raises(ModelError, match="model 'toy' cannot be written as an ONNX graph: no such operation"):
        written(toy, anatomy, monkeypatch, fails, "ab")
