"""Units found by words in their descriptions, or by meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from unshaken.core.errors import ParameterError
from unshaken.explain.units.ablation import Unit

Embed = Callable[[Sequence[str]], Tensor]
"""From N texts to vectors `[N, D]`, such as the `encode` of a sentence-transformers model with `convert_to_tensor`."""


def search_units(
    rows: Iterable[Mapping[str, Any]], words: str, *, embed: Embed | None = None, least: float = 0.5
) -> list[Unit]:
    """The units whose description contains one of the words, or is near one of them in meaning.

    Without `embed` they come in the order of the rows, with it the nearest first.

    Args:
        rows: of the table `units`, as `run.rows("units").to_pylist()` gives them.
        words: one or several, with `|` between them; a part of a word is enough, and case does not count.
        embed: a model of meaning; None to compare letters alone.
        least: cosine from which a description is near, in [-1, 1].

    Raises:
        ParameterError: no word is given.

    >>> found = [{"layer": "conv", "unit": 3, "description": "Printed text"}, {"layer": "conv", "unit": 4}]
    >>> search_units(found, "letter|text")
    [Unit(layer='conv', unit=3)]
    """
    wanted = [word.strip().lower() for word in words.split("|") if word.strip()]
    if not wanted:
        raise ParameterError(f"words={words!r}: give a word, or several with | between them")
    described = [row for row in rows if row.get("description")]
    if embed is None or not described:
        hits = [row for row in described if any(word in row["description"].lower() for word in wanted)]
        return [Unit(row["layer"], int(row["unit"])) for row in hits]
    near = F.normalize(embed([row["description"] for row in described]), dim=1) @ F.normalize(embed(wanted), dim=1).T
    best = near.amax(1)
    return [
        Unit(described[i]["layer"], int(described[i]["unit"]))
        for i in best.argsort(descending=True, stable=True).tolist()
        if float(best[i]) >= least
    ]
