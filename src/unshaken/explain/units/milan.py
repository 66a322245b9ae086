"""`milan`: a phrase for each unit, the one with the highest pointwise mutual information with its exemplars."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.documents import LONGEST_NAMES, read_text
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.numbers import parse_whole, shorten
from unshaken.core.registry import register
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.explain.units.ablation import Unit
from unshaken.explain.units.caption_describer import load_captioner
from unshaken.explain.units.concepts import MADE, open_concepts
from unshaken.explain.units.describer import ConceptDescriber, Describer, RetrievalDescriber, best_phrase
from unshaken.explain.units.edit import correct, single_accuracies
from unshaken.explain.units.exemplars import Exemplars, Rank, probe
from unshaken.explain.units.netdissect import NOT_FINITE, exemplar_remarks, summary
from unshaken.explain.units.pictures import ImageReader, page_pictures
from unshaken.measure.statistics.means import mean_figure
from unshaken.models import load_model

HEAD = ("layer", "unit")
TEXTS = ("description", "summary", "annotation")
"""Names of the column of texts, in the order in which they are looked for."""


def read_annotations(path: str | Path) -> dict[tuple[str, int], list[str]]:
    """The descriptions of each unit, by layer and number.

    A layer is a text, also where it is called by digits. Other columns are left out.

    Args:
        path: a CSV file with a head.

    Raises:
        DataError: it cannot be read, a column is absent, or a unit is no number.
    """
    try:
        lines = list(csv.reader(read_text(Path(path), LONGEST_NAMES).splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"annotations {str(path)!r} cannot be read ({error})") from None
    head = lines[0] if lines else []
    text = next((name for name in TEXTS if name in head), None)
    if text is None or any(name not in head for name in HEAD):
        raise DataError(f"annotations {str(path)!r} have the columns {head}: expected layer,unit,description")
    layer_at, unit_at, text_at = (head.index(name) for name in (*HEAD, text))
    found: dict[tuple[str, int], list[str]] = {}
    for number, line in enumerate(lines[1:], 2):
        if not line:
            continue
        if len(line) != len(head):
            raise DataError(f"annotations {str(path)!r}, line {number}: {len(line)} values for {len(head)} columns")
        if line[text_at].strip():
            key = line[layer_at], parse_whole(line[unit_at], least=0)
            found.setdefault(key, []).append(line[text_at].strip())
    if not found:
        raise DataError(f"annotations {str(path)!r} hold no description: {shorten(','.join(head))} is all there is")
    return found


SILENT = "no description: the unit is nowhere above its threshold"
BACKGROUND = 256
"""Images by which a retrieving model says how likely a phrase is for any image."""


@dataclass(frozen=True, slots=True)
class UnitWords:
    """Description of a unit, or why it has none: its row without its exemplars."""

    description: str | None = None
    category: str | None = None
    score: float | None = None
    log_p_given: float | None = None
    log_p: float | None = None
    agreement: float | None = None
    error: str | None = None


@register("milan", reference="Hernandez et al. 2022, arXiv:2201.11114")
class MILAN(Analysis):
    """MILAN: `d* = argmax_d log p(d | E) - lambda log p(d)` over the phrases of a describer.

    `E` are the `k` images that excite the unit most, with masks of where: above the `quantile` of its activations. The
    describer is `concepts` (the words of a concept set, which is then what is probed), `retrieval` (a zero-shot
    classifier whose classes are phrases) or `captioner` (an LSTM that was trained on annotated units).
    """

    table: ClassVar[str] = "units"
    group: ClassVar[str] = "units"
    needs: ClassVar[frozenset[str]] = frozenset({"model"})

    describer: Literal["concepts", "retrieval", "captioner"] = Field(
        default="concepts", description="source of the phrases: concepts, retrieval or captioner"
    )
    layers: tuple[str, ...] = Field(default=(), description="layers, or patterns; none for the end of each stage")
    strength: float = Field(
        default=0.2, ge=0, le=10, description="lambda: weight of log p(d); 0 for the likeliest phrase"
    )
    k: int = Field(default=15, ge=2, le=200, description="exemplars of a unit")
    quantile: float = Field(default=0.99, gt=0, lt=1, description="threshold of a unit: quantile of its activations")
    rank: Rank = Field(default="max", description="value that ranks images: maximum, mean, or area above the threshold")
    mask_size: NonNegativeInt = Field(
        default=0, description="side of the masks in pixels; 0 for the size of the images"
    )
    resolution: int = Field(
        default=32, description="buckets of a factor of two that thresholds are counted in: 2, 4 ... 128"
    )
    concepts: str = Field(default=MADE, description="concept set: 'made', or a folder")
    images: PositiveInt = Field(default=400, description="number of images of the concept set 'made'")
    scorer: str = Field(default="", description="retrieval: model SPEC whose classes are the phrases (openclip:...)")
    captioner: str = Field(default="", description="captioner: folder that save_captioner wrote")
    beam: int = Field(default=50, ge=1, le=1000, description="captioner: texts followed by the beam search")
    length: int = Field(default=15, ge=1, le=50, description="captioner: words of a description at most")
    annotations: str = Field(default="", description="CSV of layer,unit,description by people, to compare with")
    ablate: NonNegativeInt = Field(
        default=0, description="labelled images on which each unit is taken out alone; 0 for none"
    )

    @override
    def find(self, subject: Subject) -> Findings:
        own, describer = self._prepare(subject)
        size = self.mask_size or None
        found, passes = probe(
            own,
            self.layers,
            quantile=self.quantile,
            k=self.k,
            rank=self.rank,
            mask_size=size,
            resolution=self.resolution,
        )
        reader = ImageReader(own)
        words = {layer: self.describe(one, describer, own, reader) for layer, one in found.items()}
        effects, more = self._effects(subject, found)
        rows = _rows(found, words, effects, own)
        figures, extra = summary(rows["layer"], rows["description"], rows["category"])
        agreements = torch.tensor([v for v in rows["agreement"] if v is not None], dtype=torch.float64).numpy()
        if len(agreements):
            figures["agreement"] = mean_figure(agreements)
        arrays = {f"masks.{layer}": one.packed_masks() for layer, one in found.items()}
        arrays |= page_pictures(reader, found, {n: [w.score for w in of_layer] for n, of_layer in words.items()})
        remarks = list(exemplar_remarks(list(found.values())))
        remarks.append("A description is a correlation: take the unit out to see what it is for.")
        extra |= {"mask_size": list(next(iter(found.values())).size), "layers": list(found)}
        if self.annotations:
            table = read_annotations(self.annotations)
            units = (Unit(layer, unit) for layer, unit in zip(rows["layer"], rows["unit"], strict=True))
            extra["annotations"] = {str(u): table[u] for u in units if u in table}
        return Findings(rows, figures, tuple(remarks), arrays, extra, forwards=passes + more)

    def _prepare(self, subject: Subject) -> tuple[Subject, Describer]:
        if self.describer == "concepts":
            concepts = open_concepts(self.concepts, subject.model, images=self.images, seed=subject.seed)
            own = replace(subject, dataset=concepts.dataset, indices=range(len(concepts.dataset)))
            return own, ConceptDescriber(concepts, subject.model.view)
        if subject.dataset is None:
            raise DataError(f"milan:describer={self.describer} needs images to probe: name data")
        if self.describer == "retrieval":
            if not self.scorer:
                raise ParameterError(
                    "milan:describer=retrieval needs scorer=, as in openclip:ViT-B-32/FILE?classes=PHRASES"
                )
            model = load_model(self.scorer).eval().to(subject.device)
            some = replace(subject, indices=list(subject.indices)[:BACKGROUND])
            return subject, RetrievalDescriber(model, torch.cat([batch.images for batch in some.batches()]))
        if not self.captioner:
            raise ParameterError("milan:describer=captioner needs captioner=, a folder that save_captioner wrote")
        return subject, load_captioner(self.captioner, width=self.beam, length=self.length)

    def describe(
        self, found: Exemplars, describer: Describer, subject: Subject, reader: ImageReader
    ) -> list[UnitWords]:
        """Describe each unit of a layer.

        Args:
            found: the exemplars of the layer.
            describer: says phrases.
            subject: what was probed.
            reader: of its images.
        """
        words = []
        for unit in range(len(found.thresholds)):
            masks = found.mask(unit).to(subject.device)
            if bool(found.broken[unit]) or not bool(masks.any()):
                words.append(UnitWords(error=NOT_FINITE if bool(found.broken[unit]) else SILENT))
                continue
            samples = [s for s in found.samples[unit].tolist() if s >= 0]
            images = reader.read(samples) if describer.needs_images else masks.new_zeros(0)
            keys = describer.keys(images, masks, [subject.samples.ids[s] for s in samples])
            best = best_phrase(describer.phrases(keys), self.strength)
            if best is None:
                words.append(UnitWords(error="no description: the describer has no phrase"))
                continue
            words.append(
                UnitWords(
                    best.text, best.category or None, best.pmi(self.strength), best.log_p_given, best.log_p,
                    describer.agreement(keys),
                )
            )  # fmt: skip
        return words

    def _effects(self, subject: Subject, found: Mapping[str, Exemplars]) -> tuple[dict[Unit, float], int]:
        """The accuracy that each unit's absence costs, and the passes of finding out."""
        if not self.ablate:
            return {}, 0
        some = replace(subject, indices=list(subject.indices)[: self.ablate])
        parts = list(some.batches())
        if not parts or parts[0].labels is None:
            raise DataError("milan:ablate needs labelled images: name data with labels, or leave ablate out")
        labels = torch.cat([part.labels for part in parts if part.labels is not None])
        batch = Batch(torch.cat([p.images for p in parts]), labels, tuple(i for p in parts for i in p.ids))
        units = [Unit(layer, unit) for layer, one in found.items() for unit in range(len(one.thresholds))]
        whole = float(correct(subject.model, batch).mean())
        alone = single_accuracies(subject.model, units, batch)
        return {u: whole - a for u, a in zip(units, alone, strict=True)}, len(batch) * (len(units) + 1)


def _rows(
    found: Mapping[str, Exemplars],
    words: Mapping[str, list[UnitWords]],
    effects: Mapping[Unit, float],
    subject: Subject,
) -> dict[str, list[Any]]:
    names = ("description", "category", "score", "log_p_given", "log_p", "agreement", "error")
    rows: dict[str, list[Any]] = {
        n: [] for n in ("layer", "unit", "threshold", "exemplars", "values", "effect", *names)
    }
    for layer, one in found.items():
        for unit, one_unit in enumerate(words[layer]):
            there = one.samples[unit] >= 0
            rows["layer"].append(layer)
            rows["unit"].append(unit)
            rows["threshold"].append(float(one.thresholds[unit]))
            rows["exemplars"].append([subject.samples.ids[s] for s in one.samples[unit][there].tolist()])
            rows["values"].append(one.values[unit][there].tolist())
            rows["effect"].append(effects.get(Unit(layer, unit)))
            for name in names:
                rows[name].append(getattr(one_unit, name))
    return rows
