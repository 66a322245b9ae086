"""The score endpoint, over a socket, as a model of `http:`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch
import uvicorn

from tests.serve.score.conftest import CLASSES, dyadic
from unshaken.models import check_model, load_model
from unshaken.serve.app import create_app
from unshaken.serve.score.part import score_part
from unshaken.serve.score.scorer import Scorer


@pytest.fixture
def address(scorer: Scorer) -> Iterator[str]:
    server = uvicorn.Server(
        uvicorn.Config(create_app([score_part(scorer)], readers=None, local="local"), port=0, log_level="error")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1/score"
    server.should_exit = True
    thread.join()


def test_its_probabilities_are_those_of_the_model(
    address: str, scorer: Scorer, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path))
    model, images = load_model(f"{address}?batch=3"), dyadic(8, 5)
    check_model(model, images)
    assert model.classes == CLASSES
    assert model.input_size == (8, 8)
    expected = scorer.model(images).log_softmax(1).clamp_min(-87.3365)  # float32 holds no smaller probability
    torch.testing.assert_close(model(images), expected, atol=1e-3, rtol=1e-5)
