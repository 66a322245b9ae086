"""The misleading loss of the second stage, and the soft path by which it reaches a generator."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.errors import ParameterError

Form = Literal["sum", "largest", "margin"]


def mislead_loss(logits: Tensor, labels: Tensor, *, form: Form = "sum") -> Tensor:
    """The loss that is low where the classifier is misled, `[N]`; 0 where it is wrong already.

    Args:
        logits: of the classifier on the generated texts, `[N, K]`; not probabilities.
        labels: int64 `[N]`.
        form: `sum` for `-log(1 - p_y)`, `largest` for `-log max_{k != y} p_k`, `margin` for `z_y - max_{k != y} z_k`.

    Raises:
        ParameterError: there is no such form.

    >>> p = torch.tensor([[0.7, 0.2, 0.1]]).log()
    >>> [round(mislead_loss(p, torch.tensor([0]), form=f).item(), 4) for f in ("sum", "largest", "margin")]
    [1.204, 1.6094, 1.2528]
    """
    own = F.one_hot(labels, logits.shape[1]).bool()
    logs = logits.log_softmax(1)
    others = logs.masked_fill(own, -torch.inf)
    if form == "sum":
        loss = -others.logsumexp(1)
    elif form == "largest":
        loss = -others.amax(1)
    elif form == "margin":
        loss = logs[own] - others.amax(1)
    else:
        raise ParameterError(f"there is no form {form!r} of the misleading loss; choose sum, largest or margin")
    return torch.where(logs[own] > others.amax(1), loss, torch.zeros_like(loss))


def soft_words(logits: Tensor, table: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Embeddings weighted by a generator's softmax, `[N, L, E]`: a text through which gradients flow.

    The index of the largest logit in their place has no gradient, and a generator would learn nothing.

    Args:
        logits: of the generator at L places, `[N, L, V]`.
        table: embeddings of its V words, `[V, E]`.
        temperature: above 0; near 0 the weights come near to the largest word alone.

    Raises:
        ParameterError: the temperature is not above 0.
    """
    if not temperature > 0:
        raise ParameterError(f"temperature must be above 0, not {temperature}")
    return (logits / temperature).softmax(-1) @ table
