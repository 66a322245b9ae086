"""`text-dilution`: classifiers of images with texts, whose texts grow by sentences that are made to mislead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier, View, evaluating, fit_view
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.numbers import shorten
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.explain.engine.layer_features import features_of_batches
from unshaken.measure import Figure
from unshaken.measure.classification.class_means import f1_columns
from unshaken.measure.classification.f1_drops import compare_drops
from unshaken.measure.statistics.columns import Numbers
from unshaken.models import fingerprint
from unshaken.models.loaders.from_open_clip import load_dual_encoder
from unshaken.models.loaders.load import second_model
from unshaken.models.zero_shot import IMAGES
from unshaken.store.tables import table_of
from unshaken.tasks.evaluation import Evaluation, EvaluationFindings, EvaluationSubject, Listing
from unshaken.tasks.image_text.changes import NEUTRAL_WORDS, AppendText, Change, filler
from unshaken.tasks.image_text.evaluate import SHOWN, dilution_rows
from unshaken.tasks.image_text.predict import ask
from unshaken.tasks.image_text.relevance import ClassCaptionVectors, Relevance
from unshaken.tasks.image_text.report import ImageTextReport
from unshaken.tasks.image_text.samples import ImageTextSet
from unshaken.tasks.image_text.search import Dilution, GivenDilutions, median_floors
from unshaken.tasks.image_text.text_files import collect_samples, read_texts
from unshaken.tasks.image_text.victims import Victims, as_they_are, fuse, keep_marks, name_of, open_models
from unshaken.tasks.image_text.words import Position, content_words, describe_pictures, text_keywords
from unshaken.tasks.image_text.writers import TemplateWriter, gather_material
from unshaken.tasks.ranking.encoders import load_encoder
from unshaken.tasks.ranking.neural import EncoderMemory

CLASS_WORDS = 6
"""Key words of a class that are taken from its texts."""
CONTROLS = {"worst": "neutral", "relevant": "relevant-neutral"}
"""A search, and the one among as many candidates that mislead to no class."""


@register("text-dilution", reference="Verma et al. 2022, arXiv:2211.02646")
class TextDilution(Evaluation):
    """Macro F1 of classifiers of images with texts when a plausible, misleading sentence is added to each text.

    Nothing is taken away, so that a person's answer stays the same. Dilutions come from a file, or templates are filled
    with key words of other classes; the worst of some is searched on the first model, and all others are shown it.
    Beside it stand as many sentences that mislead to no class, and how relevant each is to text and image.
    """

    title: ClassVar[str] = "What do misleading sentences cost?"
    measures: ClassVar[tuple[str, ...]] = ("f1", "drop", "content", "relevance_text", "relevance_image", "kept")
    needs: ClassVar[frozenset[str]] = frozenset({"models", "images", "labels"})

    texts: str = Field(description="CSV, JSONL or Parquet file with the columns id and text: the text of each image")
    dilutions: str = Field(
        default="",
        description="file with the columns id and text, one row or several a sample, and similarity (to the image, "
        "-1 to 1) if known; default: templates are filled",
    )
    words: str = Field(
        default="",
        description="file with the columns class and words: key words for templates; default: taken from the texts",
    )
    candidates: int = Field(default=10, ge=1, le=1000, description="filled templates of each sample")
    wrong: int = Field(default=4, ge=1, description="most probable wrong classes that words are taken from")
    position: Position = Field(default="end", description="position of a dilution in its text: end, start or middle")
    encoder: str = Field(default="hashed-pieces", description="encoder of texts: hashed-pieces, minilm, or a folder")
    relevance: str = Field(
        default="",
        description="model SPEC that judges the relevance to images: openclip:..., or a classifier with named classes",
    )
    training: str = Field(
        default="", description="data SPEC: the models look at images alone, and are fused with texts on these"
    )
    training_texts: str = Field(default="", description="file of their texts, as texts; default the same file")
    steps: int = Field(default=600, ge=1, description="training steps of each fused head")

    @property
    @override
    def further_data(self) -> tuple[str, ...]:
        return (self.training,) if self.training else ()

    @property
    @override
    def further_files(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(f for f in (self.texts, self.dilutions, self.words, self.training_texts) if f))

    @property
    @override
    def further_models(self) -> tuple[str, ...]:
        return (self.relevance,) if self.relevance and not self.relevance.startswith("openclip:") else ()

    @override
    def check(self, subject: EvaluationSubject) -> None:
        if self.dilutions and self.words:
            raise ParameterError("text-dilution: words fill templates, and dilutions are given: leave one of both out")
        if self.training_texts and not self.training:
            raise ParameterError("text-dilution: training_texts are of the images of training=SPEC: name them, too")
        if self.training == subject.samples.options.spec:
            raise ParameterError(
                f"text-dilution: training {self.training!r} is the data that is judged: name other images"
            )
        names = list(map(name_of, subject.given))
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ParameterError(f"text-dilution: two models are called {twice!r}: name each once, or rename a factory")
        alone = [m for m in subject.given if not (isinstance(m, str) and m.startswith("py:"))]
        if alone and not self.training:
            raise ParameterError(
                f"text-dilution: {shorten(str(alone[0]))} looks at images alone: name images and texts to fuse it on "
                "by training=SPEC, or give py:FILE:FACTORY, a function that makes predict(images, texts)"
            )

    @override
    def judge(self, subject: EvaluationSubject) -> EvaluationFindings:
        texts = read_texts(self.texts)
        models = open_models(subject, fused=bool(self.training))
        views = list(dict.fromkeys(m.view for m in models.values() if isinstance(m, Classifier)))
        if len(views) > 1:
            raise ParameterError(f"text-dilution: the models look at photos in {len(views)} ways: judge them apart")
        view = views[0] if views else None
        samples = collect_samples(subject, texts, view)
        subject.bad.update(texts.bad)
        if len(set(samples.labels.tolist())) < 2:
            raise DataError(
                "text-dilution: the samples with a text are of one class only: there is no other to mislead to"
            )
        encode = EncoderMemory(load_encoder(self.encoder))
        if self.training:
            training = partial(self._read_training, subject, samples, view)
            victims = fuse(subject, models, samples, encode, training, self.steps)
        else:
            victims = as_they_are(models, samples)
        relevance = self._relevance(subject, samples, victims, encode)
        source, changes, remarks = self._changes(subject, samples, victims, relevance)
        parts = dilution_rows(
            victims.classifiers, samples, changes, relevance=relevance, seed=subject.seed,
            finished=lambda condition: subject.run.has_rows("dilutions", condition, 0),
        )  # fmt: skip
        order = SampleRng.of(subject.seed, "samples to read", samples.ids).uniform(1)[:, 0].argsort()
        shown = sorted(order[:SHOWN].tolist())  # drawn, not chosen by their damage
        ids = [samples.ids[i] for i in shown]
        subject.run.write_examples(samples.images[shown].float() / 255, ids, "clean", 0)
        for part, _ in parts:
            if isinstance(source, GivenDilutions) and source.similarities is not None:
                columns = dict(part.columns)
                rated = map(source.similarity, samples.ids, columns["added"])
                columns["relevance_image"] = [None if np.isnan(one) else one for one in rated]
                part = replace(part, columns=columns)
            subject.run.write_rows(table_of(part), part.table, part.condition.id, 0)
        return self._findings(subject, samples, list(victims.classifiers), list(changes), remarks, ids)

    def _read_training(self, subject: EvaluationSubject, samples: ImageTextSet, view: View | None) -> ImageTextSet:
        """The images with texts that heads are trained on, their classes in the order of the samples'."""
        own = collect_samples(subject.with_data(self.training), read_texts(self.training_texts or self.texts), view)
        if shared := {*own.ids} & {*samples.ids}:
            raise DataError(f"text-dilution: {shorten(min(shared))} is an image of training and of the data")
        if {*own.classes} != {*samples.classes}:
            odd = min({*own.classes} ^ {*samples.classes})
            raise DataError(f"text-dilution: training and data do not have the same classes: {odd!r} is in one")
        place = np.array([samples.classes.index(name) for name in own.classes])
        return replace(own, labels=place[own.labels], classes=samples.classes)

    def _relevance(
        self, subject: EvaluationSubject, samples: ImageTextSet, victims: Victims, encode: EncoderMemory
    ) -> Relevance:
        """What measures how a dilution fits: texts by the encoder, images by a model apart from the searched one."""
        if self.relevance.startswith("openclip:"):
            dual = load_dual_encoder(self.relevance, download=subject.options["download"])
            clip = dual.classifier(samples.classes)
            keep_marks(subject.run, {f"relevance={self.relevance}": fingerprint(clip)})

            def vectors(images: Tensor) -> Numbers:
                parts = (fit_view(part, clip.view) for part in torch.split(images, 64))
                return features_of_batches(clip, parts, [IMAGES])[IMAGES].double().numpy()

            return Relevance(EncoderMemory(lambda texts: dual.embed_texts(texts).numpy()), vectors)
        if self.relevance:
            model = second_model(self.relevance)
            if not model.classes:
                raise ParameterError(
                    f"text-dilution: relevance={self.relevance} has no names of classes: add ?classes=FILE"
                )

            def chances(images: Tensor) -> Numbers:
                with evaluating(model), torch.no_grad():
                    parts = [model(fit_view(part, model.view)) for part in torch.split(images, 64)]
                return torch.cat(parts).double().softmax(1).numpy()

            return Relevance(encode, ClassCaptionVectors(chances, model.classes, encode))
        if (alone := victims.image_only) is None:
            return Relevance(encode)
        return Relevance(
            encode, ClassCaptionVectors(lambda images: alone(images, [""] * len(images)), samples.classes, encode)
        )

    def _changes(
        self, subject: EvaluationSubject, samples: ImageTextSet, victims: Victims, relevance: Relevance
    ) -> tuple[Dilution | GivenDilutions, dict[str, Change], list[str]]:
        """The search, all changes by name, and what a reader must know of them."""
        source: Dilution | GivenDilutions
        source, neutral, remarks = self._given(subject, samples) if self.dilutions else self._filled(samples, victims)
        written = source.candidates(samples, subject.seed)
        floors, above = median_floors(source, samples, relevance, subject.seed)
        words = round(float(np.mean([len(text.split()) for own in written for text in own])))
        changes: dict[str, Change] = {"filler": AppendText("filler", filler(max(1, words)), self.position)}
        counts = [len(own) for own in written]
        if max(counts) > 1:
            changes["first"] = _at_most(source, samples, [1] * len(samples))
        changes |= {
            "worst": source, "neutral": _at_most(neutral, samples, counts), "relevant": replace(source, floors=floors),
            "relevant-neutral": _at_most(neutral, samples, above),
        }  # fmt: skip
        if not source.measures_images(relevance):
            remarks.append("relevance to images was not judged: give a column similarity, or relevance=SPEC")
        return source, changes, remarks

    def _given(
        self, subject: EvaluationSubject, samples: ImageTextSet
    ) -> tuple[GivenDilutions, GivenDilutions, list[str]]:
        """The dilutions of the file, and sentences about nothing of the same lengths."""
        file = read_texts(self.dilutions, several=True)
        subject.bad.update(file.bad)
        known = {*subject.samples.ids}
        subject.bad.update({i: f"{file.name} has a dilution of it, and the data no such sample" for i in file.texts
                            if i not in known})  # fmt: skip
        own = {i: file.texts[i] for i in samples.ids if i in file.texts}
        if not own:
            raise DataError(
                f"{self.dilutions}: no dilution is of a sample with a text: its ids are such as "
                f"{shorten(next(iter(file.texts)))}, and those of the samples such as {shorten(samples.ids[0])}"
            )
        streams = SampleRng.of(subject.seed, "neutral", samples.ids)
        nothing: dict[str, list[str]] = {i: [] for i in own}
        for number in range(max(map(len, own.values()))):
            for i, rng in zip(samples.ids, streams.fold(number).generators(), strict=True):
                if number < len(own.get(i, ())):
                    nothing[i] += filler(len(own[i][number].split()))(samples, [rng])
        without = len(samples) - len(own)
        remarks = [f"{without} of {len(samples)} samples have no dilution and stay as they are"] if without else []
        return (
            GivenDilutions(own, position=self.position, similarities=file.similarities),
            GivenDilutions(nothing, position=self.position), remarks,
        )  # fmt: skip

    def _filled(self, samples: ImageTextSet, victims: Victims) -> tuple[Dilution, Dilution, list[str]]:
        """Templates filled with key words of wrong classes, and the same templates with words of no class."""
        remarks = []
        if self.words:
            words = _read_words(self.words, samples.classes)
        else:
            words = _words_of_texts(samples)
            remarks.append(
                "key words of classes were taken from the texts themselves, and the classifier may have learned from "
                "such: a part of the drop is built in; words=FILE of others is the stronger test"
            )
        predict = victims.image_only or next(iter(victims.classifiers.values()))
        chances = ask(predict, samples.images, samples.texts, len(samples.classes))
        names = {word for name in samples.classes for word in content_words(name)}
        own = [[w for w in found if w not in names] for found in text_keywords(samples.texts)]
        material = gather_material(
            samples, words, chances, text_words=own, looks=describe_pictures(samples.images), wrong=self.wrong
        )
        taken = names | {w for own in words for w in own} | {w for text in samples.texts for w in content_words(text)}
        free = [word for word in NEUTRAL_WORDS if word not in taken]
        if len(free) < 2:
            raise DataError(
                "text-dilution: the texts have all neutral words: give dilutions=FILE in the place of templates"
            )
        nothing = [replace(one, other_words=(free,)) for one in material]
        search = partial(Dilution, TemplateWriter(), count=self.candidates, position=self.position)
        return search(material), search(nothing), remarks

    def _findings(
        self, subject: EvaluationSubject, samples: ImageTextSet, names: Sequence[str], changes: Sequence[str],
        remarks: Sequence[str], shown: Sequence[str],
    ) -> EvaluationFindings:  # fmt: skip
        report = ImageTextReport(subject.run.rows("dilutions"), samples.classes)
        k, first = len(samples.classes), names[0]
        figures = dict[str, Figure]()
        lines = []
        notes = list(remarks)
        measured = report.figures()
        for name in names:
            figures[f"f1_{name}"] = measured[name][changes[0]]["clean"]
            for change in changes:
                figures[f"f1_{name}_{change}"] = measured[name][change]["f1"]
                if (drop := measured[name][change]["drop"]) is not None:
                    figures[f"drop_{name}_{change}"] = drop
            if not figures[f"f1_{name}"].value:
                notes.append(f"{name} is right on no sample: its drops from 0 are not defined")
                continue
            for change, control in CONTROLS.items():
                labels, before = (report.column(name, change, column) for column in ("label", "prediction"))
                own, other = (report.column(name, c, "changed_prediction") for c in (change, control))
                clean, one, two = (f1_columns(labels, predicted, k) for predicted in (before, own, other))
                figures[f"content_{name}_{change}"] = compare_drops(clean, one, two, np.subtract, classes=k)
        for change in changes:
            found = measured[first][change]
            kept = {f"kept_{change}": found["kept"]} if change != "filler" else {}
            relevances = {f"{m}_{change}": found[m] for m in ("relevance_text", "relevance_image") if m in found}
            figures |= {**kept, **relevances}
            words = found["words_added"].value if "words_added" in found else None
            lines.append((
                change, found["f1"], found["drop"], figures.get(f"relevance_text_{change}"),
                figures.get(f"relevance_image_{change}"), words, found["kept"],
            ))  # fmt: skip
        caption = (
            f"What is added, what it costs {first}, and how relevant it is (cosine of vectors); the drop is a share "
            "of macro F1 without a change. Intervals are over samples."
        )
        heads = ("change", "macro F1", "drop", "to the text", "to the image", "words added", "changed")
        listings = [Listing(caption, heads, tuple(lines))]
        searched = [
            (n, *(figures.get(f"{key}_{n}_{c}") for c in CONTROLS for key in ("drop", "content"))) for n in names
        ]
        caption = (
            "Drops under the worst dilution and under the worst relevant one, which were searched on the first model, "
            "and what each exceeds the worst of as many neutral sentences by, paired by sample."
        )
        listings.append(
            Listing(caption, ("model", "worst", "less neutral", "relevant", "less neutral"), tuple(searched))
        )
        extra = {
            "classifiers": list(names), "changes": ["clean", *changes], "classes": list(samples.classes),
            "samples": len(samples), "shown": list(shown), "truncated": sorted(samples.truncated),
        }  # fmt: skip
        return EvaluationFindings(
            rows={}, figures=figures, answer=_answer(figures, first), listings=tuple(listings), remarks=tuple(notes),
            extra=extra,
        )  # fmt: skip


def _answer(figures: Mapping[str, Figure], name: str) -> tuple[str, ...]:
    """Sentences on the first model."""
    clean = figures[f"f1_{name}"]
    sentences = [
        f"{name} has a macro F1 of {clean.value:.3f} ({clean.low:.3f} to {clean.high:.3f}) on texts as they are."
    ]
    for change, words in (("worst", "the worst dilution"), ("relevant", "the worst of those that are relevant")):
        if (drop := figures.get(f"drop_{name}_{change}")) is None:
            return tuple(sentences)
        over = figures[f"content_{name}_{change}"]
        what = (
            "their content misleads, and not their length alone" if over.low > 0
            else "neutral sentences cost more" if over.high < 0
            else "which as many neutral sentences may cost, too"
        )  # fmt: skip
        sentences.append(
            f"By {words} it loses {100 * drop.value:.1f} % of that ({100 * drop.low:.1f} to {100 * drop.high:.1f} %), "
            f"{100 * over.value:+.1f} points over neutral ones ({100 * over.low:+.1f} to {100 * over.high:+.1f}): "
            f"{what}."
        )
    return tuple(sentences)


def _at_most(
    search: Dilution | GivenDilutions, samples: ImageTextSet, counts: Sequence[int]
) -> Dilution | GivenDilutions:  # fmt: skip
    """The same search among the first candidates of each sample."""
    if isinstance(search, Dilution):
        return replace(search, counts=counts)
    texts = {i: search.texts.get(i, ())[:count] for i, count in zip(samples.ids, counts, strict=True)}
    return replace(search, texts=texts)


def _read_words(file: str, classes: Sequence[str]) -> list[list[str]]:
    """Key words of each class, from a file."""
    found = read_texts(file, key="class", text="words")
    if found.bad:
        row, reason = next(iter(found.bad.items()))
        raise DataError(f"{row}: {reason}")
    if unknown := next((name for name in found.texts if name not in classes), None):
        raise DataError(f"{file}: {unknown!r} is no class of the data, which has {', '.join(classes[:5])}")
    words = [content_words(found.texts[name][0]) if name in found.texts else [] for name in classes]
    if poor := next((name for name, own in zip(classes, words, strict=True) if len(own) < 2), None):
        raise DataError(f"{file}: the class {poor!r} has fewer than two key words: add some")
    return words


def _words_of_texts(samples: ImageTextSet) -> list[list[str]]:
    """Key words of each class by tf-idf of its texts, without words of names of classes."""
    by_class = [" ".join(t for t, k in zip(samples.texts, samples.labels, strict=True) if k == c)
                for c in range(len(samples.classes))]  # fmt: skip
    names = {word for name in samples.classes for word in content_words(name)}
    found = text_keywords(by_class, count=CLASS_WORDS + len(names))
    words = [[w for w in own if w not in names][:CLASS_WORDS] for own in found]
    if poor := next((c for c, own in zip(samples.classes, words, strict=True) if not own), None):
        raise DataError(
            f"text-dilution: the texts of the class {poor!r} have no word but names of classes: give words=FILE with "
            "key words of each class"
        )
    return words
