"""Beam search over a captioner's words."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.explain.units.captioner import Captioner
from unshaken.explain.units.vocabulary import END, PAD, START, UNKNOWN


@torch.no_grad()
def beam_search(captioner: Captioner, keys: Tensor, width: int = 50, length: int = 15) -> list[tuple[list[int], float]]:
    """The likeliest texts for a unit, each with its log-probability, a sum over words and the end; likeliest first.

    Args:
        captioner: in evaluation mode.
        keys: of the unit's exemplars, `[k, F]`.
        width: texts that are followed.
        length: words that a text has at most; a text that reaches it ends there.

    Returns:
        Word numbers without start and end.
    """
    words = torch.full((1, 1), START)
    total = torch.zeros(1)
    seen, state = captioner.begin(keys[None])
    ended: list[tuple[list[int], float]] = []
    for step in range(length + 1):
        log_p, _, state = captioner.step(seen, words[:, -1], state)
        log_p[:, [PAD, START, UNKNOWN]] = -torch.inf
        if step == length:
            log_p[:, :END] = -torch.inf
            log_p[:, END + 1 :] = -torch.inf
        summed = (total[:, None] + log_p).flatten()
        best, place = summed.topk(min(width, int(summed.isfinite().sum())))
        parent, word = place // log_p.shape[1], place % log_p.shape[1]
        ended += [
            (words[p, 1:].tolist(), float(value))
            for p, w, value in zip(parent.tolist(), word.tolist(), best.tolist(), strict=True)
            if w == END
        ]
        on = word != END
        enough = sorted((value for _, value in ended), reverse=True)[:width]
        if len(enough) == width:  # what is behind all of these stays there
            on &= best > enough[-1]
        if not bool(on.any()):
            break
        words = torch.cat([words[parent[on]], word[on, None]], 1)
        total, state = best[on], (state[0][parent[on]], state[1][parent[on]])
    return sorted(ended, key=lambda one: -one[1])[:width]
