"""`milan`: a phrase for each unit, the one with the highest pointwise mutual information with its exemplars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import register
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.explain.units.ablation import Unit
from unshaken.explain.units.caption_describer import CaptionDescriber, load_captioner
from unshaken.explain.units.caption_training import CaptionSettings, bleu, learn_captions
from unshaken.explain.units.captioner import Pyramid
from unshaken.explain.units.concepts import MADE, open_concepts
from unshaken.explain.units.describer import ConceptDescriber, Describer, RetrievalDescriber, best_phrase
from unshaken.explain.units.edit import correct, single_accuracies
from unshaken.explain.units.exemplars import Exemplars, Rank, probe
from unshaken.explain.units.layers import unit_layers
from unshaken.explain.units.netdissect import NOT_FINITE, exemplar_remarks, summary
from unshaken.explain.units.pictures import ImageReader, page_pictures
from unshaken.explain.units.published import TABLE, annotated_units, read_annotations, read_published, write_published
from unshaken.measure.statistics.means import mean_figure
from unshaken.models import load_model

SILENT = "no description: the unit is nowhere above its threshold"
NO_SCORER = "milan:describer=retrieval needs scorer=, as in openclip:ViT-B-32/FILE?classes=PHRASES"
NO_CAPTIONER = "milan:describer=captioner needs captioner=, a folder that save_captioner wrote, or of annotated units"
WORDS = ("description", "category", "score", "log_p_given", "log_p", "agreement", "error")
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
    captioner: str = Field(
        default="", description="captioner: folder that save_captioner wrote, or of annotated units to learn from"
    )
    encoder: str = Field(default="", description="model SPEC that encodes annotated units; none for the model itself")
    epochs: PositiveInt = Field(default=100, description="captioner: passes over annotated units")
    beam: int = Field(default=50, ge=1, le=1000, description="captioner: texts followed by the beam search")
    length: int = Field(default=15, ge=1, le=50, description="captioner: words of a description at most")
    annotations: str = Field(default="", description="CSV of layer,unit,description by people, to compare with")
    exemplars: str = Field(
        default="", description="folder of units in the format of MILANNOTATIONS, to be described instead of a model's"
    )
    write: str = Field(default="", description="new folder to write units and descriptions to, in that format")
    ablate: NonNegativeInt = Field(
        default=0, description="labelled images on which each unit is taken out alone; 0 for none"
    )

    @property
    @override
    def required(self) -> frozenset[str]:
        by_itself = self.exemplars and (self.encoder or self.describer == "retrieval")
        return frozenset() if by_itself else super().required

    @override
    def find(self, subject: Subject) -> Findings:
        if self.write and Path(self.write).exists():
            raise DataError(f"milan: write={self.write!r} is there already: name a new folder")
        if self.exemplars:
            return self._find_published(subject)
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
        if self.write:
            texts = zip(rows["layer"], rows["unit"], rows["description"], strict=True)
            write_published(self.write, found, {Unit(layer, unit): text for layer, unit, text in texts}, reader)
            remarks.append(f"Units, exemplars and descriptions are in {self.write}, in the format of MILANNOTATIONS.")
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
                raise ParameterError(NO_SCORER)
            model = load_model(self.scorer).eval().to(subject.device)
            some = replace(subject, indices=list(subject.indices)[:BACKGROUND])
            return subject, RetrievalDescriber(model, torch.cat([batch.images for batch in some.batches()]))
        if not self.captioner:
            raise ParameterError(NO_CAPTIONER)
        return subject, self._captioner(subject)

    def _captioner(self, subject: Subject) -> CaptionDescriber:
        """The captioner of a folder: as it was saved, or trained on the annotated units that the folder holds."""
        if not (Path(self.captioner) / TABLE).is_file():
            return load_captioner(self.captioner, width=self.beam, length=self.length)
        model = load_model(self.encoder).eval().to(subject.device) if self.encoder else subject.model
        layers, keys, texts = read_published(self.captioner), list[torch.Tensor](), list[list[str]]()
        first = layers[0].exemplars(0, model.view)[0].to(subject.device)
        size = model.input_size or tuple(first.shape[2:])
        shown = torch.nn.functional.interpolate(first[:1], size, mode="bilinear", antialias=True)
        pyramid = Pyramid(model, list(unit_layers(model, shown)))
        for layer, place, captions in annotated_units(self.captioner, layers):
            images, masks = layer.exemplars(place, model.view)
            if len(images):
                found = pyramid.keys(images.to(subject.device), masks.to(subject.device)).cpu()
                keys.append(found[torch.arange(layer.images.shape[1]) % len(found)])  # as many of each unit
                texts.append(captions)
        if not keys or len({len(k) for k in keys}) > 1:
            raise DataError(f"{self.captioner}: the layers must hold units, all with the same number of exemplars")
        settings = CaptionSettings(epochs=self.epochs, length=self.length)
        learned = learn_captions(torch.stack(keys), texts, settings, seed=subject.seed)
        return CaptionDescriber(pyramid, learned, self.beam, self.length)

    def _find_published(self, subject: Subject) -> Findings:
        """Describe the units of a folder, by its exemplars."""
        layers = read_published(self.exemplars)
        if self.describer == "concepts":
            raise ParameterError("milan:exemplars= needs describer=captioner or describer=retrieval")
        if self.ablate or self.write:
            raise ParameterError("milan:exemplars= describes units of a folder: leave ablate and write out")
        describer: Describer
        if self.describer == "captioner":
            if not self.captioner:
                raise ParameterError(NO_CAPTIONER)
            describer = self._captioner(subject)
            view = describer.pyramid.model.view
        else:
            if not self.scorer:
                raise ParameterError(NO_SCORER)
            model = load_model(self.scorer).eval().to(subject.device)
            some = [layers[0].exemplars(place, model.view)[0] for place in range(min(BACKGROUND, len(layers[0].units)))]
            describer, view = RetrievalDescriber(model, torch.cat(some)[:BACKGROUND].to(subject.device)), model.view
        rows: dict[str, list[Any]] = {n: [] for n in ("layer", "unit", *WORDS)}
        for layer in layers:
            for place, unit in enumerate(layer.units.tolist()):
                images, masks = (x.to(subject.device) for x in layer.exemplars(place, view))
                rows["layer"].append(layer.name)
                rows["unit"].append(unit)
                ids = [f"{layer.name}-{unit}-{i}" for i in range(len(images))]
                words = self._word(describer, images, masks, ids) if len(images) else UnitWords(error=SILENT)
                for name in WORDS:
                    rows[name].append(getattr(words, name))
        figures, extra = summary(rows["layer"], rows["description"], rows["category"])
        extra["layers"], remarks = [], ["A description is a correlation."]
        if (Path(self.exemplars) / TABLE).is_file() or self.annotations:
            table = read_annotations(self.annotations or Path(self.exemplars) / TABLE)
            units = (Unit(layer, unit) for layer, unit in zip(rows["layer"], rows["unit"], strict=True))
            extra["annotations"] = {str(u): table[u] for u in units if u in table}
            own = dict(zip(zip(rows["layer"], rows["unit"], strict=True), rows["description"], strict=True))
            pairs = [(text, texts) for key, texts in table.items() if (text := own.get(key)) is not None]
            if pairs:
                extra["bleu"] = bleu([text for text, _ in pairs], [texts for _, texts in pairs])
                remarks.append(f"BLEU against the captions of {len(pairs):,} units: {extra['bleu']:.3f}.")
        return Findings(rows, figures, tuple(remarks), {}, extra)

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
            words.append(self._word(describer, images, masks, [subject.samples.ids[s] for s in samples]))
        return words

    def _word(self, describer: Describer, images: torch.Tensor, masks: torch.Tensor, ids: Sequence[str]) -> UnitWords:
        """The best phrase for exemplars."""
        keys = describer.keys(images, masks, ids)
        best = best_phrase(describer.phrases(keys), self.strength)
        if best is None:
            return UnitWords(error="no description: the describer has no phrase")
        return UnitWords(
            best.text, best.category or None, best.pmi(self.strength), best.log_p_given, best.log_p,
            describer.agreement(keys),
        )  # fmt: skip

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
    rows: dict[str, list[Any]] = {
        n: [] for n in ("layer", "unit", "threshold", "exemplars", "values", "effect", *WORDS)
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
            for name in WORDS:
                rows[name].append(getattr(one_unit, name))
    return rows
