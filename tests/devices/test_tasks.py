"""Tasks beyond classification on the simulated device, as on the CPU."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import unshaken
from tests.devices.simulated import agree
from tests.devices.test_verbs import both, same  # noqa: F401
from tests.tasks.detection import scenes as objects
from tests.tasks.fairness.test_evaluate import CLASSES, FirstPixel, write
from tests.tasks.few_shot.test_conditional import head, maps  # noqa: F401
from tests.tasks.segmentation import scenes as masks
from tests.tasks.zero_shot.toy import COLOURS, colour_encoder, tinted
from unshaken.core import Classifier
from unshaken.core.device import device_of
from unshaken.detect import fit
from unshaken.detect.engine.export import export
from unshaken.models.zero_shot import with_classes
from unshaken.tasks.fairness import evaluate, read_groups
from unshaken.tasks.features import frozen_features
from unshaken.tasks.few_shot import draw_episodes
from unshaken.tasks.few_shot.conditional_episodes import run_conditional_episodes
from unshaken.tasks.ranking import image_vectors

PLAN = ["fog", "contrast"]


def test_detection(both):  # noqa: F811
    def verb(out, place):
        unshaken.audit(objects.detector(), objects.scenes(8), PLAN, out=out, device=place, save_examples=0)

    here, there = both(verb)
    same(here, there, "detections")


def test_segmentation(both):  # noqa: F811
    def verb(out, place):
        unshaken.audit(masks.segmenter(), masks.scenes(6), PLAN, out=out, device=place, save_examples=0)

    here, there = both(verb)
    tables = here.names("rows")
    assert len(tables) > 1
    same(here, there, *(name for name in tables if name not in ("cost", "flags")))


def test_zero_shot(device):
    model = colour_encoder(turn=0.3, noise=0.2, scale=20.0).classifier(COLOURS, ["a {} thing", "{}"])
    images = tinted(6)[0].float() / 255
    there = copy.deepcopy(model).to(device)
    assert agree(there(images.to(device)), model(images), apart=1e-6)
    assert agree(
        image_vectors(there, images.to(device), "encoder"), image_vectors(model, images, "encoder"), apart=1e-6
    )
    others = [with_classes(one, torch.eye(3)[:2], ["one", "other"]) for one in (model, there)]
    assert agree(others[1](images.to(device)), others[0](images), apart=1e-6)


def test_few_shot(device, head):  # noqa: F811
    model, pixels = unshaken.load_model("demo:standard"), torch.randint(0, 256, (9, 1, 28, 28), dtype=torch.uint8)
    features = [frozen_features(copy.deepcopy(model).to(place), pixels, cache=False) for place in ("cpu", device)]
    assert np.allclose(*features, atol=1e-5)
    episodes = draw_episodes(np.arange(12) % 3, ways=3, shots=2, queries=2, episodes=2)
    there = copy.deepcopy(head).to(device)
    given = maps(12), maps(12, 1)
    found = run_conditional_episodes(there, episodes, *(m.to(device) for m in given))
    assert (found == run_conditional_episodes(head, episodes, *given)).all()


def test_fairness(device, tmp_path):
    data = read_groups(write(tmp_path), subject="subject")
    sets, options = {"animal": ["slug", "cat"]}, {"top": 1, "thresholds": (0, 1), "depths": (1, 2)}
    reports = [
        evaluate(Classifier(FirstPixel(), classes=CLASSES, name="pixel").to(place), data, sets=sets, **options)
        for place in ("cpu", device)
    ]
    assert reports[0].figures() == reports[1].figures()


def test_an_exported_graph(device, tmp_path):
    model, images = unshaken.load_model("demo:standard"), torch.rand(3, 1, 28, 28)
    found = fit(model, "demo", ["energy", "msp"], limit=120, device=str(device)).detector_set
    written = export(found, tmp_path / "graph.onnx", images)
    session = pytest.importorskip("onnxruntime").InferenceSession(str(written.file))
    outputs = dict(
        zip([o.name for o in session.get_outputs()], session.run(None, {"images": images.numpy()}), strict=True)
    )
    assert np.allclose(outputs["score_energy"], found.score(images.to(device))["energy"].cpu(), atol=1e-4)
    assert device_of(found.model) == device
