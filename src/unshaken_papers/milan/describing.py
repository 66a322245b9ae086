"""The describer test: a captioner that learned from synthetic units, on units that it has not seen."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from unshaken.core.classifier import Classifier
from unshaken.explain.units.caption_describer import CaptionDescriber
from unshaken.explain.units.caption_training import CaptionSettings, learn_captions
from unshaken.explain.units.captioner import Pyramid
from unshaken.explain.units.describer import best_phrase
from unshaken.papers.context import Context
from unshaken_papers.milan import LABEL, LABELS, MOST_ATTRIBUTES, STRENGTHS, MilanPaper
from unshaken_papers.milan.grammar import KINDS, Synthetic, attributes_named, drawn, scores, synthetic_units


def name_of(strength: float) -> str:
    """How figures and conditions call a lambda.

    >>> name_of(0.2), name_of(1.0)
    ('0_2', '1')
    """
    return f"{strength:g}".replace(".", "_")


def describe(paper: MilanPaper, context: Context, model: Classifier, layers: tuple[str, ...]) -> None:
    """Write the words of every lambda, the single label and the best labels, for each held-out unit.

    Args:
        paper: the sizes.
        context: of a seed.
        model: whose layers see the exemplars.
        layers: of it.
    """
    if context.has(LABELS, "words"):
        return
    rng = np.random.Generator(np.random.Philox(key=[context.seed, 0x776F726473]))
    units = synthetic_units(paper.annotated + paper.described, rng)
    keys = exemplar_keys(units, Pyramid(model, layers), rng)
    learned_from = keys[: paper.annotated].flatten(0, 1)
    keys = (keys - learned_from.mean(0)) / learned_from.std(0).clamp(min=1e-6)
    settings = CaptionSettings(epochs=paper.caption_epochs, hidden=128, embedding=64, lr=3e-3, held_out=0)
    learned = learn_captions(
        keys[: paper.annotated], [u.texts for u in units[: paper.annotated]], settings, seed=context.seed
    )
    describer = CaptionDescriber(Pyramid(model, layers), learned)
    held = list(zip(units, keys, strict=True))[paper.annotated :]
    beams = [describer.phrases(key) for _, key in held]
    for strength in STRENGTHS:
        chosen = [best_phrase(beam, strength) for beam in beams]
        write(context, name_of(strength), [u for u, _ in held], ["" if one is None else one.text for one in chosen])
    for label, most in ((LABEL, 1), (LABELS, MOST_ATTRIBUTES)):
        write(context, label, [u for u, _ in held], [" ".join(best_labels(u, units, most)) for u, _ in held])


def exemplar_keys(units: list[Synthetic], pyramid: Pyramid, rng: np.random.Generator) -> Tensor:
    """Features of each unit's exemplars from the pyramid, `[M, k, F]`."""
    found = []
    for unit in units:
        images, masks = drawn(unit.shown, rng)
        found.append(pyramid.keys(images, masks))
    return torch.stack(found)


def best_labels(unit: Synthetic, units: list[Synthetic], most: int) -> list[str]:
    """The attributes of highest intersection over union with a unit's exemplars, over the exemplars of all units.

    Args:
        unit: that is described.
        units: all of them.
        most: attributes named, the best first, one of a kind.
    """
    everything = np.concatenate([u.shown for u in units])
    found = []
    for i, kind in enumerate(KINDS):
        inside = np.bincount(unit.shown[:, i], minlength=len(kind))
        whole = np.bincount(everything[:, i], minlength=len(kind))
        overlap = inside / (len(unit.shown) + whole - inside)
        found.append((float(overlap.max()), kind[int(overlap.argmax())]))
    return [word for _, word in sorted(found, key=lambda one: -one[0])[:most]]


def write(context: Context, label: str, units: list[Synthetic], texts: list[str]) -> None:
    """The rows of one way to describe."""
    found = np.array([scores(attributes_named(t), u.words) for u, t in zip(units, texts, strict=True)])
    columns = dict(zip(("precision", "recall", "f1"), found.T.tolist(), strict=True))
    ids = [f"{context.id('unit')}{i}" for i in range(len(units))]
    context.write("words", label, {"id": ids, "text": texts, **columns})
