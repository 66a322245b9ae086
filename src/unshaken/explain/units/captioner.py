"""MILAN's captioner and language model, `p(d | E)` and `p(d)`, with vocabulary, encoder and beam search.

Source: Hernandez et al. 2022, arXiv:2201.11114; show, attend and tell: Xu et al. 2015, arXiv:1502.03044.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ModelError

PAD, START, END, UNKNOWN = range(4)
_SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")
_WORD = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation.

    >>> words_of("The top-left corner, in RED.")
    ['the', 'top-left', 'corner', 'in', 'red']
    """
    return _WORD.findall(text.lower())


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words that a captioner knows.

    Args:
        words: by number, the special ones first.
    """

    words: tuple[str, ...]

    @classmethod
    def of(cls, texts: Iterable[str], least: int = 1) -> Vocabulary:
        """The words of some texts, the most frequent first.

        Args:
            texts: all of them.
            least: times that a word must occur.
        """
        counts = Counter(word for text in texts for word in words_of(text))
        frequent = sorted((w for w, n in counts.items() if n >= least), key=lambda w: (-counts[w], w))
        return cls((*_SPECIAL, *frequent))

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, texts: Sequence[str], length: int) -> Tensor:
        """Numbers of the words between start and end, int64 `[N, length + 2]`; words beyond `length` are cut off."""
        known = {word: i for i, word in enumerate(self.words)}
        found = torch.full((len(texts), length + 2), PAD)
        for row, text in zip(found, texts, strict=True):
            numbers = [known.get(w, UNKNOWN) for w in words_of(text)][:length]
            row[: len(numbers) + 2] = torch.tensor([START, *numbers, END])
        return found

    def decode(self, numbers: Sequence[int]) -> str:
        """The text of numbers up to the end."""
        found = []
        for number in numbers:
            if number == END:
                break
            if number not in (PAD, START):
                found.append(self.words[number])
        return " ".join(found)


def masked_mean(features: Tensor, masks: Tensor) -> Tensor:
    """Features averaged over the masks, which are brought to their size bilinearly; an empty mask gives zeros.

    Args:
        features: `[N, D, h, w]`.
        masks: weights, none negative, `[N, H, W]`; only their proportions count.

    Returns:
        `[N, D]`.

    >>> features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> masked_mean(features, torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])).tolist()
    [[3.0]]
    """
    weights = masks[:, None].to(features)
    if weights.shape[2:] != features.shape[2:]:
        weights = F.interpolate(weights, tuple(features.shape[2:]), mode="bilinear", align_corners=False)
    total = weights.sum((2, 3), keepdim=True)
    weights = weights / torch.where(total > 0, total, torch.ones_like(total))
    return (features * weights).sum((2, 3))


class Pyramid:
    """A frozen network of which some layers are read, such as `conv1` and `layer1` to `layer4` of a ResNet.

    Args:
        model: in evaluation mode.
        layers: names of layers with maps.
    """

    def __init__(self, model: Classifier, layers: Sequence[str]) -> None:
        self.model, self.layers = model, tuple(layers)

    def keys(self, images: Tensor, masks: Tensor) -> Tensor:
        """Encode each image under its mask: the layers' masked means, joined, `[N, F]`.

        Args:
            images: `[N, C, H, W]` in [0, 1]; brought to the size that the network takes.
            masks: bool `[N, H, W]`.

        Raises:
            ModelError: a layer is not there, or gives no maps.
        """
        size = self.model.input_size
        if size is not None and tuple(images.shape[2:]) != size:
            images = F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
        with evaluating(self.model), torch.no_grad():
            _, found = self.model.features(images, self.layers)
        for layer in self.layers:
            if found[layer].ndim != 4:
                raise ModelError(
                    f"layer {layer!r} of the encoder gives {list(found[layer].shape)}, not maps [N, D, h, w]"
                )
        return torch.cat([masked_mean(found[layer], masks) for layer in self.layers], 1)


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
        """Predict the next word of each text.

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
        context = self.gate(h).sigmoid() * (alpha[:, None] @ keys.values).squeeze(1)
        h, c = self.cell(torch.cat([self.embed(words), context], 1), (h, c))
        return self.out(self.dropout(h)).log_softmax(1), alpha, (h, c)

    @override
    def forward(self, keys: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        prepared, state = self.begin(keys)
        found, attentions = [], []
        for word in texts[:, :-1].T:
            log_p, alpha, state = self.step(prepared, word, state)
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

    def loss(self, texts: Tensor) -> Tensor:
        """Cross-entropy of the words of texts `[N, L]`."""
        return F.nll_loss(self(texts).flatten(0, 1), texts[:, 1:].flatten(), ignore_index=PAD)


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
    prepared, state = captioner.begin(keys[None])
    ended: list[tuple[list[int], float]] = []
    for step in range(length + 1):
        log_p, _, state = captioner.step(prepared, words[:, -1], state)
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
