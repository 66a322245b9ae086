"""A comparison of models over six aspects: its record, and what it measures of each model."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unshaken.core.batch import Batch
from unshaken.core.device import find_device
from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.core.options import Options
from unshaken.core.part import CLEAN
from unshaken.core.registry import parse_method
from unshaken.data import Dataset, DataSource, as_dataset, stream, subset
from unshaken.data.dataset import digest
from unshaken.detect import fit
from unshaken.detect.engine.abnormal_sets import parse_against
from unshaken.explain.biases.cue_conflict import CueConflict
from unshaken.models import fingerprint
from unshaken.models.align import ModelClasses, align
from unshaken.store.config import read_config
from unshaken.store.provenance import provenance
from unshaken.store.run_dir import RunDir
from unshaken.tasks.evaluation import Verbs
from unshaken.tasks.zero_shot.across import FIGURES, read_figures
from unshaken.tasks.zero_shot.candidates import (
    Candidate,
    LoadedCandidate,
    check_candidates,
    embed_images,
    open_candidate,
)
from unshaken.tasks.zero_shot.choices import Choose, ask, confusing_options
from unshaken.tasks.zero_shot.model_factors import ModelFactors
from unshaken.tasks.zero_shot.prompts import prompt_hits
from unshaken.tasks.zero_shot.record import AUDIT, CUES, DETECT, RECORD, HolisticRecord, ModelRecord, beneath
from unshaken.tasks.zero_shot.retrieval import retrieve
from unshaken.tasks.zero_shot.rows import read_outcomes, write_rows
from unshaken.tasks.zero_shot.tables import Captions, read_captions
from unshaken.tasks.zero_shot.visual_factors import check_factors, read_factors

CHOICES = "choices"
"""The condition of the rows of what a language model chose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aspects:
    """Measurements made of every model.

    Args:
        dataset: the usual images.
        plan: of the audit: corruptions.
        shifts: name to a further labelled set.
        against: of `detect`.
        fitting: images on which detectors set their thresholds.
        cues: how cues are put in conflict; None for not at all.
        cue_data: images whose cues are used.
        captions: of `photos`; None for no retrieval.
        photos: images that the captions describe.
        choose: the language model; None for none.
        asked: images that it is asked about, at most.
        options: of one question.
    """

    dataset: Dataset
    plan: Sequence[Any]
    shifts: Mapping[str, Dataset]
    against: Sequence[str]
    fitting: Dataset
    cues: CueConflict | None
    cue_data: Dataset
    captions: Captions | None
    photos: Dataset
    choose: Choose | None
    asked: int
    options: int


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of one model; those whose runs are finished read what is there.

    Args:
        run: of the comparison.
        aspects: that are asked for.
        options: of all runs.
        verbs: that make the runs.
    """

    run: RunDir
    aspects: Aspects
    options: Options
    verbs: Verbs

    def all(self, opened: LoadedCandidate, record: ModelRecord) -> None:
        """Every aspect of a model."""
        self._audits(opened, record)
        if self.aspects.against:
            self._detect(opened)
        if self.aspects.cues is not None:
            self._cues(opened, self.aspects.cues)
        self._rows("prompts", opened.key, lambda: self._prompts(opened))
        self._rows("retrievals", opened.key, lambda: self._retrievals(opened))

    def _shared(self, place: RunDir, opened: LoadedCandidate) -> dict[str, Any]:
        o, begun = self.options, place.exists("run.json")
        return {
            "out": place.path, "resume": begun, "limit": o["limit"], "seed": o["seed"], "name": opened.name,
            "device": o["device"], "batch_size": o["batch_size"], "workers": o["workers"],
            "save_examples": o["save_examples"], "on_error": o["on_error"],
        }  # fmt: skip

    def _audits(self, opened: LoadedCandidate, record: ModelRecord) -> None:
        place = beneath(self.run, opened.key, AUDIT)
        self.verbs.audit(
            opened.classifier, self.aspects.dataset, list(self.aspects.plan), **self._shared(place, opened)
        )
        for name, dataset in self.aspects.shifts.items():
            place = beneath(self.run, opened.key, f"shift-{name}")
            self.verbs.audit(opened.classifier, dataset, [], **self._shared(place, opened))
            config = read_config(place)
            own = config.labels
            if own is not None and own.within:  # its rows are of these classes already
                record.within[name] = tuple(range(len(config.classes)))
            elif own is not None and 0 < len(own.classes) < len(opened.classifier.classes):
                record.within[name] = tuple(sorted(own.classes.values()))

    def _detect(self, opened: LoadedCandidate) -> None:
        """MCM for zero-shot models, on raw cosines; MSP for others."""
        place = beneath(self.run, opened.key, DETECT)
        detectors = os.path.join(beneath(self.run, opened.key).path, "detectors")
        device = str(find_device(self.options["device"]))
        if not os.path.isfile(os.path.join(detectors, "detectors.json")):
            method = "mcm" if opened.is_zero_shot else "msp"
            limit = self.options["limit"]
            found = fit(
                opened.classifier, self.aspects.fitting, [method], seed=self.options["seed"], limit=limit, device=device
            )
            found.save(detectors)
        self.verbs.detect(
            opened.classifier, self.aspects.dataset, detectors, against=list(self.aspects.against), attacked=False,
            **self._shared(place, opened),
        )  # fmt: skip

    def _cues(self, opened: LoadedCandidate, cues: CueConflict) -> None:
        place, o = beneath(self.run, opened.key, CUES), self.options
        self.verbs.explain(
            opened.classifier, self.aspects.cue_data, cues, limit=o["limit"], seed=o["seed"], out=place.path,
            resume=place.exists("explain.json"), device=o["device"], batch_size=o["batch_size"], workers=o["workers"],
        )  # fmt: skip

    def _rows(self, table: str, condition: str, make: Callable[[], dict[str, Any] | None]) -> None:
        """Write the rows of a table, once."""
        if self.run.has_rows(table, condition, 0):
            return
        columns = make()
        if columns is not None:
            write_rows(self.run, table, condition, columns)

    def _prompts(self, opened: LoadedCandidate) -> dict[str, Any] | None:
        if opened.encoder is None:
            return None
        data = align(self.aspects.dataset, ModelClasses.of(opened.classifier)).dataset
        if data.labels is None:
            return None
        indices = subset(data, self.options["limit"], self.options["seed"])
        found = embed_images(opened.classifier, data, indices.tolist(), workers=self.options["workers"])
        kept = found.labels >= 0
        prompts = opened.encoder.embed_prompts(opened.classifier.classes, opened.templates)
        alone, together = prompt_hits(found.vectors[kept], prompts, found.labels[kept])
        ids = [i for i, k in zip(found.ids, kept.tolist(), strict=True) if k]
        return {"id": ids, "label": found.labels[kept].tolist(), "alone": alone.tolist(), "correct": together.tolist()}

    def _retrievals(self, opened: LoadedCandidate) -> dict[str, Any] | None:
        captions = self.aspects.captions
        if opened.encoder is None or captions is None:
            return None
        indices = subset(self.aspects.photos, self.options["limit"], self.options["seed"])
        found = embed_images(opened.classifier, self.aspects.photos, indices.tolist(), workers=self.options["workers"])
        own = captions.among(found.ids, whole=False)
        texts = opened.encoder.embed_texts(own.texts)
        both = retrieve(found.vectors.numpy(), found.ids, texts.numpy(), own)
        columns: dict[str, list[Any]] = {name: [] for name in ("id", "direction", "image", "rank", "depth")}
        for way in both:
            n = len(way.ids)
            columns["id"] += way.ids
            columns["direction"] += [way.direction] * n
            columns["image"] += way.images
            columns["rank"] += [rank or None for rank in way.ranks]
            columns["depth"] += [way.depth] * n
        return columns

    def choices(self, opened: LoadedCandidate) -> None:
        """Ask the language model about some images, with what this model confuses as options."""
        if self.aspects.choose is not None:
            choose = self.aspects.choose
            self._rows("choices", CHOICES, lambda: self._choices(opened, choose))

    def _choices(self, opened: LoadedCandidate, choose: Choose) -> dict[str, Any]:
        known = read_outcomes(beneath(self.run, opened.key, AUDIT))
        if known is None:
            raise RunError(f"{self.run}: there are no labelled outcomes to make options of")
        ids, seed = known.ids[: self.aspects.asked], self.options["seed"]
        n = len(ids)
        options = confusing_options(
            known.logits_tensor()[:n], known.labels_tensor()[:n], ids, count=self.aspects.options, seed=seed
        )
        data = align(self.aspects.dataset, ModelClasses.of(opened.classifier)).dataset
        place = {name: i for i, name in enumerate(ids)}
        indices = [i for i, name in enumerate(data.ids) if name in place]
        found = []
        for part in stream(data, indices, view=opened.classifier.view, workers=self.options["workers"], batch_size=64):
            if isinstance(part, Batch):
                own = options[np.array([place[i] for i in part.ids])]
                found += ask(choose, part, own, opened.classifier.classes)
        return {
            "id": [c.id for c in found], "options": [list(c.options) for c in found], "label": [c.label for c in found],
            "chosen": [c.chosen for c in found], "error": [c.error or None for c in found],
        }  # fmt: skip


SETS = ("data", "cue_data", "fitting", "photos")
"""Names of sets in the record beside those of the shifted ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A comparison of models that was checked, and of which nothing was computed yet.

    Args:
        candidates: name to model.
        declared: name to the factors of its design.
        aspects: that are asked for.
        classes: names for prompts.
        images: factor that makes images hard to their ids.
        baseline: the family that effective robustness is measured against; empty for all other models.
    """

    candidates: Mapping[str, Candidate]
    declared: Mapping[str, ModelFactors]
    aspects: Aspects
    classes: tuple[str, ...]
    images: Mapping[str, Sequence[str]]
    baseline: str

    @classmethod
    def of(
        cls, candidates: Mapping[str, Candidate], dataset: Dataset, verbs: Verbs, *, classes: Sequence[str],
        plan: Any, factors: str | Path | Mapping[str, Sequence[str]] | None, cues: str | CueConflict | None,
        cue_data: DataSource | None, against: str | Sequence[str], fitting: DataSource | None,
        shifts: Mapping[str, DataSource], captions: str | Path | Captions | None, photos: DataSource | None,
        choose: Choose | None, asked: int, choices: int, baseline: str, download: bool,
    ) -> Comparison:  # fmt: skip
        """Open the data of a comparison, and check all that was given; see `unshaken.api.holistic`.

        Raises:
            ParameterError: a model, a factor or a number is wrong.
            DataError: data, factors or captions are wrong or do not fit.
        """
        declared = check_candidates(candidates)
        families = sorted({f.line for f in declared.values()})
        if baseline and baseline not in families:
            raise ParameterError(f"no model is of the family {baseline!r}; the families are {', '.join(families)}")
        if asked < 1 or choices < 2:
            raise ParameterError(f"asked={asked} must be 1 or more, and choices={choices} must be 2 or more")
        for name in shifts:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}", name):
                raise ParameterError(f"the name {name!r} of a shifted set must be letters, digits, dots and hyphens")

        def opened(source: DataSource | None) -> Dataset:
            return dataset if source is None else as_dataset(source, download=download)

        several = [against] if isinstance(against, str) else list(against)
        for one in several:
            parse_against(one)
        aspects = Aspects(
            dataset=dataset,
            plan=verbs.load_plan(plan),
            shifts={name: opened(source) for name, source in shifts.items()},
            against=several,
            fitting=opened(fitting),
            cues=parse_method(cues, "explain") if isinstance(cues, str) else cues,
            cue_data=opened(cue_data),
            captions=read_captions(captions) if isinstance(captions, str | Path) else captions,
            photos=opened(photos),
            choose=choose,
            asked=asked,
            options=choices,
        )
        images = read_factors(factors) if isinstance(factors, str | Path) else dict(factors or {})
        check_factors(images, dataset.ids)
        _check_shifts(images, aspects, verbs.conditions_of(aspects.plan))
        if aspects.captions is not None:
            aspects.captions.among(aspects.photos.ids)
        named = tuple(classes) or tuple(dataset.classes)
        if choose is not None and named and choices > len(named):
            raise ParameterError(
                f"choices={choices} options are wanted of {len(named)} classes: give {len(named)} at most"
            )
        return cls(
            candidates=candidates, declared=declared, aspects=aspects, classes=named, images=images, baseline=baseline
        )  # fmt: skip

    def record(self, options: Options) -> HolisticRecord:
        """The record of the comparison as it begins."""
        return make_record(
            self.candidates, self.declared, self.aspects, options, self.classes, self.images, self.baseline
        )

    def open(self, name: str, record: HolisticRecord, options: Options) -> LoadedCandidate:
        """Load a model.

        Raises:
            UnshakenError: it cannot be loaded.
        """
        place = record.place(name)
        return open_candidate(place, name, self.candidates[name], record.classes, download=options["download"])

    def check_models(self, run: RunDir, options: Options) -> None:
        """Load all models once, one after another, so that one that cannot be loaded is refused before any work.

        Raises:
            RunError: a model was begun under its name with other weights.
            UnshakenError: one cannot be loaded.
        """
        record = HolisticRecord.read(run) if run.exists(RECORD) else self.record(options)
        for name in self.candidates:
            known_model(run, record, self.open(name, record, options))

    def run(self, run: RunDir, options: Options, verbs: Verbs) -> dict[str, Any]:
        """Measure every model that is not done yet, and compute all figures from rows.

        Args:
            run: the directory, whose models were checked.
            options: of all runs.
            verbs: that make the runs.

        Returns:
            What `figures.json` holds, see `read_figures`.
        """
        if not run.exists(RECORD):
            self.record(options).write(run)
        record, steps = HolisticRecord.read(run), Steps(run, self.aspects, options, verbs)
        if self.images:
            columns = {"id": [i for ids in self.images.values() for i in ids]}
            columns["factor"] = [factor for factor, ids in self.images.items() for _ in ids]
            write_rows(run, "visual_factors", "data", columns)
        for name in self.candidates:
            there = record.model(name)
            if there is not None and there.done:
                continue
            opened = self.open(name, record, options)
            known = known_model(run, record, opened)
            place = record.place(name)
            record.models[place : place + 1] = [known]
            record.write(run)
            steps.all(opened, known)
            if known is record.models[0]:
                steps.choices(opened)
            known.done = True
            record.write(run)
        record.provenance, record.finished = provenance(), True
        record.write(run)
        figures = read_figures(run)
        run.write_json(figures, FIGURES)
        return figures


def _check_shifts(factors: Mapping[str, Sequence[str]], aspects: Aspects, conditions: Sequence[str]) -> None:
    """Refuse sets without labels, and names that would stand for two things in the record or in a table of figures."""
    used = (
        dict.fromkeys(SETS, "a set of this comparison") | dict.fromkeys(factors, "a factor") | {CLEAN.id: "a condition"}
    )
    used |= dict.fromkeys(conditions, "a condition")
    for name, dataset in aspects.shifts.items():
        if dataset.labels is None:
            raise DataError(f"the shifted set {name!r} has no labels: accuracy and calibration need them")
        if other := used.get(name):
            raise ParameterError(f"the shifted set {name!r} has the name of {other}: rename the set")


def known_model(run: RunDir, record: HolisticRecord, opened: LoadedCandidate) -> ModelRecord:
    """The record of a model; a new one, which is not among those of the comparison, where nothing was computed yet.

    Raises:
        RunError: the model that was begun under this name is another one.
    """
    own, place = fingerprint(opened.classifier), record.place(opened.name)
    if not beneath(run, opened.key, AUDIT).exists("run.json"):
        return ModelRecord(
            name=opened.name, key=opened.key, fingerprint=own, classes=tuple(opened.classifier.classes),
            zero_shot=opened.is_zero_shot, factors=opened.factors, templates=opened.templates,
        )  # fmt: skip
    known = record.models[place]
    there = known.fingerprint or read_config(beneath(run, known.key, AUDIT)).model_fingerprint
    if there != own:
        raise RunError(
            f"{run}: model {opened.name!r} was begun with other weights (fingerprint {there[:12]}, now {own[:12]}); "
            "give the model that was there, or choose another directory"
        )
    return known


def make_record(
    candidates: Mapping[str, Candidate], declared: Mapping[str, ModelFactors], aspects: Aspects, options: Options,
    classes: Sequence[str], images: Mapping[str, Sequence[str]], baseline: str,
) -> HolisticRecord:  # fmt: skip
    """The record of a comparison that begins."""
    groups = [parse_against(text) for text in aspects.against]
    captions, cues = aspects.captions, aspects.cues
    sets = dict(zip(SETS, (aspects.dataset, aspects.cue_data, aspects.fitting, aspects.photos), strict=True))
    settings = {
        "models": {
            name: {"model": c.model if isinstance(c.model, str) else f"<{type(c.model).__name__}>",
                   "templates": c.templates if isinstance(c.templates, str) else list(c.templates),
                   "factors": declared[name].model_dump(mode="json")}
            for name, c in candidates.items()
        },
        "data": {name: [d.options.spec, d.fingerprint] for name, d in {**sets, **aspects.shifts}.items()},
        "classes": list(classes),
        "plan": [entry.model_dump(mode="json") for entry in aspects.plan],
        "factors": digest(sorted((factor, tuple(ids)) for factor, ids in images.items())) if images else "",
        "cues": None if cues is None else cues.model_dump(mode="json"),
        "against": list(aspects.against),
        "captions": "" if captions is None else digest(captions.texts, captions.images),
        "choose": getattr(aspects.choose, "__qualname__", type(aspects.choose).__name__),
        "asked": aspects.asked, "choices": aspects.options, "baseline": baseline,
        "limit": options["limit"], "seed": options["seed"],
    }  # fmt: skip
    return HolisticRecord(
        settings=settings, classes=list(classes), shifts=list(aspects.shifts),
        against=[f"{group}-{name}" for group, name, _ in groups], baseline=baseline,
    )  # fmt: skip
