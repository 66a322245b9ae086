"""Maximum concept matching: cosines by hand, and refusal of other models."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from unshaken.core import Classifier
from unshaken.core.errors import ModelError
from unshaken.core.oracle import Oracle
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.engine.screen import run_queries
from unshaken.detect.scores.mcm import MCM
from unshaken.models.zero_shot import ZeroShot


class Pair(nn.Module):
    """Embeds a picture as its two pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(100.0).log())

    def encode_image(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def fitted(model: Classifier, method: MCM, images: Tensor) -> tuple[ForwardPass, dict[str, Tensor]]:
    forward = ForwardPass(Anatomy("clip", 2, None, ()), model(images).detach(), {}, images)
    return forward, run_queries(method.fit(FitData(forward.anatomy, tune=forward)), Oracle(model))


@pytest.mark.parametrize("temperature", [1.0, 0.01])
def test_softmax_of_the_cosines(temperature):
    model = Classifier(ZeroShot(Pair(), torch.eye(2)), name="clip").eval()
    images = torch.tensor([[3.0, 4], [1, 0], [1, 1]]).view(3, 1, 1, 2) / 4
    method = MCM(temperature=temperature)
    forward, bank = fitted(model, method, images)
    assert bank["scale"].item() == pytest.approx(100, rel=1e-6)
    cosines = torch.tensor([[0.6, 0.8], [1, 0], [0.5**0.5, 0.5**0.5]]).double()
    expected = 1 - (cosines / temperature).softmax(1).amax(1)
    assert method.score(forward, bank).tolist() == pytest.approx(expected.tolist(), rel=1e-4, abs=1e-12)


def test_other_models_are_refused_with_the_reason(toy):
    with pytest.raises(ModelError, match="'toy' is no zero-shot model"):
        fitted(toy, MCM(), torch.rand(2, 3, 4, 4))
