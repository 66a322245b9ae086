"""A small net whose sums are exact, its detectors, and a server in front of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient
from torch import Tensor, nn

from unshaken.core.classifier import Classifier, View
from unshaken.data.arrays import InMemory
from unshaken.detect import DetectorSet, fit
from unshaken.serve.app import create_app
from unshaken.serve.score.part import score_part
from unshaken.serve.score.scorer import Scorer

SIDE, CLASSES = 8, ("cat", "dog", "<script>alert(1)</script>")


def dyadic(n: int, seed: int) -> Tensor:
    """Images of multiples of 1/256, whose sums with weights of 1/16 float32 holds exactly, in whatever order."""
    values = np.random.default_rng(seed).integers(0, 257, (n, 1, SIDE, SIDE))
    return torch.from_numpy(values).float() / 256


def net() -> Classifier:
    """A linear classifier of 8 x 8 grayscale images."""
    linear = nn.Linear(SIDE * SIDE, len(CLASSES))
    with torch.no_grad():
        weight = np.random.default_rng(1).integers(-32, 33, (len(CLASSES), SIDE * SIDE))
        linear.weight.copy_(torch.from_numpy(weight) / 16)
        linear.bias.zero_()
    view = View(SIDE, SIDE, channels=1)
    return Classifier(nn.Sequential(nn.Flatten(), linear), classes=CLASSES, view=view, name="exact")


@pytest.fixture(scope="session")
def model() -> Classifier:
    return net()


@pytest.fixture(scope="session")
def detectors(model: Classifier) -> DetectorSet:
    images = (dyadic(200, 2) * 255).round().to(torch.uint8)
    data = InMemory(images, torch.arange(200) % 3)
    return fit(model, data, ["max-logit", "knn"], workers=1).detector_set


@pytest.fixture(scope="session")
def scorer(detectors: DetectorSet) -> Scorer:
    return Scorer(detectors.model, detectors, accept=0.9, most=16)


@pytest.fixture
def open_client() -> Iterator[Callable[..., TestClient]]:
    """Makes a client of a server, its lifespan begun."""
    with ExitStack() as stack:

        def make(
            scorer: Scorer, *, readers: Any = None, hosts: Any = None, proxy: Any = None, **options: Any
        ) -> TestClient:
            local = None if readers is not None else "local"
            app = create_app([score_part(scorer, **options)], readers=readers, local=local, hosts=hosts, proxy=proxy)
            client = TestClient(app, base_url="http://localhost", client=("10.0.0.5", 1))
            return stack.enter_context(client)

        yield make


@pytest.fixture
def client(open_client: Callable[..., TestClient], scorer: Scorer) -> TestClient:
    return open_client(scorer)


def png(pixels: Any) -> bytes:
    """A PNG file of uint8 pixels."""
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "PNG")
    return file.getvalue()


def noise(height: int = 10, width: int = 12, seed: int = 0) -> Any:
    """Colour pixels."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3))


def as_json(*files: bytes, **more: Any) -> dict[str, Any]:
    """A JSON request of files."""
    return {"images": [{"data": base64.b64encode(data).decode(), **more} for data in files]}
