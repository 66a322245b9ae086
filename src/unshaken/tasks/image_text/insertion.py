"""Insertion: a text grows around key words, in rounds, by what a masked language model puts into each gap."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.extras import need

Fill = Callable[[Sequence[tuple[Sequence[str], Sequence[str]]]], Sequence[Sequence[tuple[str, float]]]]
"""From gaps, each the words before and behind it, to words for each with their probabilities, the best first."""


def insert_rounds(
    words: Sequence[str], fill: Fill, rng: np.random.Generator, *, rounds: int = 4, longest: int = 30,
    decay: float = 2.0, least: float = 0.1,
) -> list[str]:  # fmt: skip
    """Insert at most one word into each gap a round, until nothing is inserted.

    A gap stays closed in round r, counted from 0, where its best word is less probable than
    `least * min(r / decay, 1)`, so that early rounds insert. The key words are constraints: all stay, in their order.
    A trained insertion transformer has a token for "no insertion" in the place of `least`.

    Args:
        words: key words.
        fill: words for gaps.
        rng: draws among the words of a gap, by their probabilities.
        rounds: at most.
        longest: words at most; gaps with the most probable words are filled first.
        decay: above 0.
        least: probability of a word below which a gap may stay closed.

    Returns:
        All words, in order.

    Raises:
        ParameterError: decay is not above 0.

    Source: Zhang et al. 2020, arXiv:2005.00558, for the rounds.
    """
    if not decay > 0:
        raise ParameterError(f"decay must be above 0, not {decay}")
    found = list(words)
    for number in range(rounds):
        gaps = [(found[:i], found[i:]) for i in range(len(found) + 1)]
        chosen: list[tuple[float, int, str]] = []
        for place, options in enumerate(fill(gaps)):
            if options and options[0][1] >= least * min(number / decay, 1.0):
                weights = np.array([max(p, 1e-12) for _, p in options])
                drawn = int(rng.choice(len(options), p=weights / weights.sum()))
                chosen.append((-options[0][1], place, options[drawn][0]))
        chosen = sorted(chosen)[: max(0, longest - len(found))]
        if not chosen:
            break
        for _, place, word in sorted(chosen, key=lambda c: -c[1]):
            found.insert(place, word)
    return found


class MaskedModel:
    """A masked language model of a folder, read by transformers.

    Args:
        folder: with `config.json`, `model.safetensors` and the tokenizer.
        best: words for a gap.

    Raises:
        ModelError: it is not there, cannot be read, or has no token for a mask.
        MissingExtra: transformers is absent.
    """

    def __init__(self, folder: str | os.PathLike[str], *, best: int = 5) -> None:
        place = Path(folder)
        if not (place / "model.safetensors").is_file():
            raise ModelError(f"{place} holds no model.safetensors; name the folder of a masked language model")
        package = need("transformers", "transformers", "models", "a masked language model")
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._tokens: Any = package.AutoTokenizer.from_pretrained(str(place), **options)
            self._net: Any = package.AutoModelForMaskedLM.from_pretrained(str(place), use_safetensors=True, **options)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            why = " ".join(str(error).split())[:200]
            raise ModelError(f"{place} is no masked language model that transformers reads: {why}") from None
        if self._tokens.mask_token is None:
            raise ModelError(f"{place}: its tokenizer has no token for a mask; name a masked language model")
        self._net.eval()
        self._best = best
        names = self._tokens.convert_ids_to_tokens(range(self._net.config.vocab_size))
        self._words = torch.tensor([bool(name) and name.isalpha() for name in names])

    @torch.no_grad()
    def __call__(
        self, gaps: Sequence[tuple[Sequence[str], Sequence[str]]]
    ) -> list[list[tuple[str, float]]]:  # fmt: skip
        """The most probable whole words for gaps; see `Fill`."""
        mask = self._tokens.mask_token
        texts = [" ".join([*before, mask, *after]) for before, after in gaps]
        given = self._tokens(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
        logits = self._net(**given).logits.float()
        rows, places = torch.where(given["input_ids"] == self._tokens.mask_token_id)
        first = {int(row): int(place) for row, place in zip(rows.flip(0), places.flip(0), strict=True)}
        found: list[list[tuple[str, float]]] = []
        for row in range(len(texts)):
            if row not in first:  # the mask was beyond what the model reads
                found.append([])
                continue
            chances = logits[row, first[row]].softmax(0) * self._words
            top = chances.topk(min(self._best, len(chances)))
            names = self._tokens.convert_ids_to_tokens(top.indices.tolist())
            found.append([(n, p) for n, p in zip(names, top.values.tolist(), strict=True) if p > 0])
        return found
