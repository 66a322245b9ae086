"""What is explained: a sample, a class, and the score of that class."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from typing_extensions import override

from unshaken.core.oracle import required
from unshaken.core.query import Answer, Objective
from unshaken.core.state import State

Score = Literal["logit", "probability", "log-probability"]
"""The score of a class: its logit `z_c`, `p_c = softmax(z)_c`, or `log p_c`."""


class Target(State):
    """Samples, and the class of each whose score is explained.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        classes: int64 `[N]`.
    """

    images: Tensor
    classes: Tensor


class TargetScore(Objective):
    """The score of a class.

    Args:
        classes: int64 `[N]`.
        score: see `Score`.
    """

    classes: Tensor
    score: Score = "logit"

    @override
    def __call__(self, answer: Answer) -> Tensor:
        """From logits `[N, K]` to `[N]`."""
        return score_of(required(answer.logits), self.classes, self.score)


def score_of(logits: Tensor, classes: Tensor, score: Score) -> Tensor:
    """The scores of classes.

    Args:
        logits: `[..., K]`.
        classes: int64 `[...]`.
        score: see `Score`.

    Returns:
        `[...]`.
    """
    if score == "probability":
        logits = logits.softmax(-1)
    elif score == "log-probability":
        logits = logits.log_softmax(-1)
    return logits.gather(-1, classes[..., None]).squeeze(-1)
