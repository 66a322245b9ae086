"""MILAN's captioner and language model: `p(d | E)` and `p(d)`.

Source: Hernandez et al. 2022, arXiv:2201.11114; show, attend and tell: Xu et al. 2015, arXiv:1502.03044.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.explain.units.vocabulary import PAD


class Keys(NamedTuple):
    """Exemplars as a captioner attends to them.

    Args:
        values: `[N, k, F]`.
        projected: for the attention, `[N, k, A]`.
    """

    values: Tensor
    projected: Tensor


class Captioner(nn.Module):
    """An LSTM that attends over the keys of a unit's exemplars.

    Args:
        words: size of the vocabulary V.
        features: length F of a key.
        embedding: of a word.
        hidden: of the LSTM.
        dropout: of what the words are predicted from, in training.
    """

    def __init__(
        self, words: int, features: int, embedding: int = 128, hidden: int = 512, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.sizes = (words, features, embedding, hidden)
        attention = min(hidden, features)
        self.embed = nn.Embedding(words, embedding, padding_idx=PAD)
        self.start_h, self.start_c = nn.Linear(features, hidden), nn.Linear(features, hidden)
        self.of_key, self.of_state = nn.Linear(features, attention), nn.Linear(hidden, attention)
        self.score = nn.Linear(attention, 1)
        self.gate = nn.Linear(hidden, features)
        self.cell = nn.LSTMCell(embedding + features, hidden)
        self.dropout, self.out = nn.Dropout(dropout), nn.Linear(hidden, words)

    def begin(self, keys: Tensor) -> tuple[Keys, tuple[Tensor, Tensor]]:
        """The keys `[N, k, F]` as steps take them, and the first state, `h` and `c` `[N, hidden]`: of their mean."""
        mean = keys.mean(1)
        return Keys(keys, self.of_key(keys)), (self.start_h(mean).tanh(), self.start_c(mean).tanh())

    def step(
        self, keys: Keys, words: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """One word further.

        Args:
            keys: as `begin` gives them; of one unit for all N texts.
            words: the words so far end with these, int64 `[N]`.
            state: before.

        Returns:
            Log-probabilities of the next word `[N, V]`, the attention `[N, k]`, and the state.
        """
        h, c = state
        scores = self.score(torch.tanh(keys.projected + self.of_state(h)[:, None])).squeeze(2)
        alpha = scores.softmax(1)
        seen = self.gate(h).sigmoid() * (alpha[:, None] @ keys.values).squeeze(1)
        h, c = self.cell(torch.cat([self.embed(words), seen], 1), (h, c))
        return self.out(self.dropout(h)).log_softmax(1), alpha, (h, c)

    @override
    def forward(self, keys: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        seen, state = self.begin(keys)
        found, attentions = [], []
        for word in texts[:, :-1].T:
            log_p, alpha, state = self.step(seen, word, state)
            found.append(log_p)
            attentions.append(alpha)
        return torch.stack(found, 1), torch.stack(attentions, 1)


def attention_penalty(attentions: Tensor, there: Tensor | None = None) -> Tensor:
    """`mean over keys of (1 - sum_t alpha_t)^2`, averaged over texts: every exemplar is to be looked at once.

    Args:
        attentions: `[N, T, k]`.
        there: which words are part of the text, bool `[N, T]`; None for all.

    >>> round(float(attention_penalty(torch.full((1, 5, 15), 1 / 15))), 5)
    0.44444
    """
    weights = attentions if there is None else attentions * there[:, :, None]
    return ((1 - weights.sum(1)) ** 2).mean()


def caption_loss(captioner: Captioner, keys: Tensor, texts: Tensor, strength: float = 1.0) -> Tensor:
    """Cross-entropy of the words, and the attention's penalty.

    Args:
        captioner: in training mode.
        keys: `[N, k, F]`.
        texts: as `Vocabulary.encode` gives them, `[N, L]`.
        strength: of the penalty.
    """
    log_p, attentions = captioner(keys, texts)
    wanted = texts[:, 1:]
    words = F.nll_loss(log_p.flatten(0, 1), wanted.flatten(), ignore_index=PAD)
    return words + strength * attention_penalty(attentions, wanted != PAD)


class LanguageModel(nn.Module):
    """`p(d)`: a two-layer LSTM over words.

    Args:
        words: size of the vocabulary V.
        embedding: of a word.
        hidden: of the LSTM.
        dropout: between its layers and before the words, in training.
    """

    def __init__(self, words: int, embedding: int = 128, hidden: int = 512, dropout: float = 0.5) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, embedding, padding_idx=PAD)
        self.lstm = nn.LSTM(embedding, hidden, 2, batch_first=True, dropout=dropout)
        self.dropout, self.out = nn.Dropout(dropout), nn.Linear(hidden, words)

    @override
    def forward(self, texts: Tensor) -> Tensor:
        found: Tensor = self.out(self.dropout(self.lstm(self.embed(texts[:, :-1]))[0])).log_softmax(2)
        return found

    def log_p(self, texts: Tensor) -> Tensor:
        """The log-probability of each text, the sum over its words and its end, `[N]`."""
        wanted = texts[:, 1:]
        each: Tensor = self(texts).gather(2, wanted[:, :, None]).squeeze(2)
        return (each * (wanted != PAD)).sum(1)


def language_loss(model: LanguageModel, texts: Tensor) -> Tensor:
    """Cross-entropy of the words of texts `[N, L]`."""
    return F.nll_loss(model(texts).flatten(0, 1), texts[:, 1:].flatten(), ignore_index=PAD)
