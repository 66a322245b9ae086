"""Monte Carlo dropout: how unsure a model is when parts of it are left out at random."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier, predict
from unshaken.core.errors import ModelError
from unshaken.core.oracle import Oracle, required
from unshaken.core.query import Answer, Goal, Passes, Query
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.detect.engine.base import Bank, Detector, QueryGenerator
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.ensemble import disagreement

Dropout: TypeAlias = nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d
WHOLE_CHANNELS = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


class DropoutDraws(Query):
    """Logits `[N, T, K]` of T passes with dropout.

    Args:
        points: `[N, C, H, W]`.
        rng: the samples' streams; draw t of a sample has the same masks in any batch.
        draws: T.
    """

    rng: SampleRng
    draws: int

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        model = getattr(passes, "model", None)
        if not isinstance(model, Classifier):
            raise ModelError("mc-dropout needs to run the model itself, which is not possible here")
        oracle = passes
        if isinstance(passes, Oracle):
            oracle = Oracle(model, limit=passes.limit, precision=passes.precision, meter=passes.meter)
        found = []
        for draw in range(self.draws):
            with dropping(model, self.rng.fold(draw)):
                found.append(oracle.forward(self.points)[0])
        logits = torch.stack(found, 1)
        return Answer(logits=logits, labels=predict(logits))


@contextmanager
def dropping(model: Classifier, rng: SampleRng) -> Iterator[None]:
    """Inside, dropout layers of a model in evaluation mode drop what the samples' streams say.

    Args:
        model: its modules' hooks are as before when it is left.
        rng: of the samples of the one pass that is made inside.

    Raises:
        ModelError: see `dropout_layers`.
    """
    handles = []
    try:
        for name, module in dropout_layers(model).items():
            handles.append(module.register_forward_hook(_hook(name, module, rng)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def dropout_layers(model: Classifier) -> dict[str, Dropout]:
    """Name to dropout layer with a rate above 0.

    Raises:
        ModelError: there is none.
    """
    found = {n: m for n, m in model.net.named_modules() if isinstance(m, Dropout) and m.p > 0}
    if not found:
        raise ModelError(
            f"model {model.name!r} has no dropout layer (nn.Dropout, nn.Dropout1d to 3d) with a rate above 0: "
            "mc-dropout has nothing to draw; use ensemble, or a model that was trained with dropout"
        )
    return found


def _hook(name: str, module: Dropout, rng: SampleRng) -> Any:
    rate, calls, whole = module.p, itertools.count(), isinstance(module, WHOLE_CHANNELS)

    def drop(_module: nn.Module, given: tuple[Tensor, ...], _output: Tensor) -> Tensor:
        x = given[0]
        if len(x) != len(rng):
            raise ModelError(
                f"dropout layer {name!r} sees {len(x)} rows for {len(rng)} samples: its masks cannot be drawn by sample"
            )
        shape = x.shape[1:2] if whole else x.shape[1:]
        keep = rng.fold(name).fold(next(calls)).uniform(math.prod(shape)) >= rate
        mask = keep.reshape(-1, *shape, *[1] * (x.ndim - 1 - len(shape))).to(x)
        return x * mask / (1 - rate) if rate < 1 else x * mask

    return drop


@register("mc-dropout", reference="Gal & Ghahramani 2016, arXiv:1506.02142", needs=("logits",))
class MCDropout(Detector):
    """MC dropout: entropy of the mean prediction under dropout, or mutual information of class and dropout."""

    draws: int = Field(default=20, description="passes with dropout", ge=2)
    measure: Literal["entropy", "mutual-information"] = Field(
        default="entropy", description="entropy of the mean prediction, or mutual information"
    )

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> QueryGenerator[Tensor]:
        answer = yield DropoutDraws(forward.pixels, forward.streams.fold("dropout"), self.draws)
        return disagreement(required(answer.logits).double().softmax(-1), self.measure)
