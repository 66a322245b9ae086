"""Images that a network has learned from, or probably has: found by what a result keeps, and reported on its page."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from unshaken.core.errors import UnshakenError
from unshaken.papers.paper import Paper

if TYPE_CHECKING:
    from torch import Tensor

    from unshaken.papers.result import PaperResult


DIGEST_SIZE = 12
"""Bytes of the digest of an image."""


def digests_of(images: Tensor) -> list[bytes]:
    """A digest of each image's pixels.

    Args:
        images: uint8 `[N, C, H, W]`.
    """
    rows = images.detach().cpu().contiguous().flatten(1).numpy()
    return [hashlib.blake2b(row.tobytes(), digest_size=DIGEST_SIZE).digest() for row in rows]


def seen_by_rows(repeated: Mapping[str, list[int]]) -> tuple[str, ...]:
    """One sentence where conditions show images that networks of the same run learned from.

    Args:
        repeated: condition to how many of its images, and how many it has.

    >>> seen_by_rows({"s0.train": [3, 4], "s1.train": [3, 4]})
    ('In 2 conditions images are shown that networks of this run learned from: s0.train (3 of 4), s1.train (3 of 4).',)
    """
    if not repeated:
        return ()
    named = [f"{name} ({count} of {n})" for name, (count, n) in list(repeated.items())[:3]]
    more = f" and {len(repeated) - 3} more" if len(repeated) > 3 else ""
    conditions = "1 condition" if len(repeated) == 1 else f"{len(repeated)} conditions"
    return (f"In {conditions} images are shown that networks of this run learned from: {', '.join(named)}{more}.",)


def seen_by_specs(chosen: Mapping[str, str], paper: Paper, inputs: Mapping[str, str]) -> tuple[str, ...]:
    """Sentences on photos that published networks have probably learned from.

    Args:
        chosen: SPECs of `data` and `model`.
        paper: whose parameters may name further SPECs.
        inputs: of the run: `data SPEC` and `model SPEC` of what was read; empty where it was not kept.
    """
    from unshaken.run.seen import probably_seen  # papers are listed without torch

    if inputs:
        data, models = (
            [text.removeprefix(f"{kind} ") for text in inputs if text.startswith(f"{kind} ")]
            for kind in ("data", "model")
        )
    else:
        data = models = list(_texts([*chosen.values(), *paper.model_dump(mode="json").values()]))
    found = {}
    for model in models:
        for spec in data:
            if sentence := _sentence_on(probably_seen, model, spec):
                found[model, spec.partition("?")[0]] = sentence
    return tuple(found.values())


def seen_again(result: PaperResult, paper: Paper) -> tuple[str, ...]:
    """The sentences of a kept result.

    Args:
        result: of a run.
        paper: with the parameters of the run.
    """
    chosen = {"data": result.data, "model": result.model}
    kept = result.provenance
    return seen_by_specs(chosen, paper, kept.get("inputs", {})) + seen_by_rows(kept.get("seen", {}))


def _sentence_on(sentence: Any, model: str, spec: str) -> str:
    try:
        return str(sentence(model, spec.partition("?")[0]))
    except UnshakenError:
        return ""


def _texts(values: Iterable[Any]) -> Iterable[str]:
    """The texts among parameters that may be SPECs."""
    for value in values:
        if isinstance(value, str):
            yield from value.split("|")
        elif isinstance(value, list):
            yield from _texts(value)
