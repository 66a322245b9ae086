"""`data-drift`: whether a data set comes from the source of a reference, by one family of two-sample tests."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import batch_for
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.oracle import Oracle
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.data.properties import find_property, measure_image, property_names
from unshaken.inspect.engine.base import Issues, Measurements, Quantities, halves_of
from unshaken.inspect.engine.sample import DecodedSample
from unshaken.measure import Figure, holm
from unshaken.measure.statistics.columns import Indices, Numbers
from unshaken.measure.statistics.intervals import share
from unshaken.measure.statistics.paired import newcombe
from unshaken.measure.two_sample import (
    TwoSampleTest,
    class_test,
    distribution_test,
    estimate_label_shift,
    kernel_test,
    score_test,
)
from unshaken.models.align import ModelClasses, align
from unshaken.models.loaders.load import second_model
from unshaken.tasks.evaluation import Evaluation, EvaluationFindings, EvaluationSubject, Listing
from unshaken.tasks.inspection.data_health import SHOWN, write_issues, write_pictures
from unshaken.tasks.inspection.measured import SampleSet, measure_sets

SIDE = 8
"""Side in pixels of the small colour copies that are the features of an image without a model."""
LEAST = 20
"""Readable images of each set at least."""
RIDGE = 0.1
"""Weight of the ridge penalty of the classifier, for features of variance 1."""
LISTED = 20
"""Classes of a table: those whose share changes most."""
UNLIKE = {
    "unlike-reference": "Images of the data that are least like the reference",
    "unlike-data": "Images of the reference that are least like the data",
}
"""Condition of the rows `issues` to its heading."""
FEATURES = {"pixels": "small copies and properties", "model": "the model's outputs"}
"""What features are of, by their name in those of tests."""
PROPERTY = "property_"


class SmallCopies:
    """The properties of an image, and a small copy of it in colour."""

    def measure(self, sample: DecodedSample) -> Quantities:
        """All registered properties, and the bytes of the copy as hexadecimal digits."""
        found = measure_image(sample.pixels, map(find_property, property_names()))
        small = sample.image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
        return {**{f"{PROPERTY}{name}": value for name, value in found.items()}, "copy": small.tobytes().hex()}


def classifier_scores(features: Numbers, is_data: Indices, half: Indices) -> Numbers:
    """How much each sample is taken for one of the data by a linear classifier fitted on the other half, `[N]`.

    The classifier is regularised least squares on standardised features, the two sets having the same weight: Fisher's
    linear discriminant with a ridge.

    Args:
        features: `[N, D]`.
        is_data: 1 for the data, 0 for the reference, `[N]`.
        half: 0 or 1, `[N]`; both halves have samples of both sets.
    """
    scores = np.zeros(len(features))
    for held in (0, 1):
        fit = half != held
        x, y = features[fit], is_data[fit]
        mean, spread = x.mean(0), x.std(0)
        spread[spread < 1e-9 * np.maximum(1, np.abs(mean))] = np.inf
        weight = np.where(y == 1, 1 / y.sum(), 1 / (len(y) - y.sum())) / 2
        x = (x - mean) / spread
        x = np.sqrt(weight)[:, None] * (x - weight @ x)
        target = np.sqrt(weight) * (2.0 * y - 1)
        if x.shape[1] <= len(x):
            direction = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ target)
        else:
            direction = x.T @ np.linalg.solve(x @ x.T + RIDGE * np.eye(len(x)), target)
        scores[~fit] = ((features[~fit] - mean) / spread) @ direction
    return scores


@dataclass(frozen=True, eq=False)
class TwoSets:
    """The usable samples of a reference and of the data, one after the other.

    Args:
        measured: of all samples of both sets.
        rows: places of the usable ones among them, `[N]`.
        logits: of a model, `[N, K]`; None without one.
        classes: names of the model's classes.
    """

    measured: Measurements
    rows: Indices
    logits: Numbers | None = None
    classes: Sequence[str] = ()

    @cached_property
    def is_data(self) -> Indices:
        """1 for the data, 0 for the reference."""
        return np.asarray(self.measured.set_of[self.rows] == 0, np.int64)

    @cached_property
    def half(self) -> Indices:
        """Half of each sample; each set is divided by its own ids."""
        found = np.zeros(len(self.rows), np.int64)
        for one in (0, 1):
            own = np.flatnonzero(self.is_data == one)
            found[own] = halves_of([self.measured.ids[self.rows[i]] for i in own], self.measured.seed, "data-drift")
        return found

    def pair(self, values: Numbers) -> tuple[Numbers, Numbers]:
        """Values of the reference, and of the data."""
        return values[self.is_data == 0], values[self.is_data == 1]

    def class_counts(self) -> dict[str, tuple[Counter[str], Counter[str]]]:
        """How often each class occurs in the reference and in the data: of labels, and of a model's predictions.

        Labels are left out where the sets have no class's name in common: they may call the same classes otherwise.
        """
        given = [self.measured.labels[i] for i in self.rows.tolist()]
        known: dict[str, list[str | None]] = {"labels": given}
        if self.logits is not None:
            known["predictions"] = [_class_name(self.classes, k) for k in self.logits.argmax(1).tolist()]
        found = {}
        for name, values in known.items():
            pairs = list(zip(values, self.is_data.tolist(), strict=True))
            first, second = (Counter(v for v, k in pairs if k == one and v is not None) for one in (0, 1))
            if first and second and (name == "predictions" or first.keys() & second.keys()):
                found[name] = first, second
        return found

    def drawn(self, most: int) -> Indices:
        """At most `most` samples of each set, chosen by seed and id alone, whatever their order."""
        ids = [self.measured.ids[i] for i in self.rows.tolist()]
        keys = SampleRng.of(self.measured.seed, "data-drift", ids).fold("kernel").keys.numpy()
        order = np.argsort(keys, kind="stable")
        return np.concatenate([order[self.is_data[order] == one][:most] for one in (0, 1)])

    @cached_property
    def properties(self) -> dict[str, Numbers]:
        """Values of each property that is not the same for all samples."""
        known = sorted(name for name in self.measured.quantities if name.startswith(PROPERTY))
        found = {name.removeprefix(PROPERTY): self.measured.quantities[name][self.rows] for name in known}
        return {name: values for name, values in found.items() if np.ptp(values) > 0}

    def features(self) -> dict[str, Numbers]:
        """Features `[N, D]` by what they are of; columns have variance 1 over both sets together."""
        copies = "".join(self.measured.quantities["copy"][self.rows].tolist())
        pixels = np.frombuffer(bytes.fromhex(copies), np.uint8).reshape(len(self.rows), -1) / 255
        found = {"pixels": np.column_stack([pixels, *self.properties.values()])}
        if self.logits is not None:
            shifted = self.logits - self.logits.max(1, keepdims=True)
            found["model"] = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        for name, values in found.items():
            spread = values.std(0)
            found[name] = values[:, spread > 0] / spread[spread > 0] if (spread > 0).any() else np.zeros_like(values)
        return found


def drift_tests(
    sets: TwoSets, *, permutations: int = 999, most: int = 1000
) -> tuple[dict[str, TwoSampleTest], Numbers]:
    """All tests of whether two sets come from one source, which are one family.

    Args:
        sets: with what was measured of each sample.
        permutations: random divisions of a permutation test.
        most: samples of each set in a kernel test.

    Returns:
        Tests by name, not corrected for their number; and a score of each sample, `[N]`: how much a classifier that
        was fitted on the other half takes it for one of the data, by the model's outputs where there are any.
    """
    tests, scores, seed = dict[str, TwoSampleTest](), np.zeros(len(sets.rows)), sets.measured.seed
    chosen, held = sets.drawn(most), sets.half == 1
    for name, features in sets.features().items():
        one, two = (features[chosen[sets.is_data[chosen] == k]] for k in (0, 1))
        tests[f"kernel_{name}"] = kernel_test(one, two, permutations=permutations, seed=seed)
        scores = classifier_scores(features, sets.is_data, sets.half)
        one, two = (scores[held & (sets.is_data == k)] for k in (0, 1))
        tests[f"classifier_{name}"] = score_test(one, two, permutations=permutations, seed=seed)
    for name, values in sets.properties.items():
        tests[name] = distribution_test(*sets.pair(values))
    for name, (first, second) in sets.class_counts().items():
        known = sorted({*first, *second})
        counts = [first[k] for k in known], [second[k] for k in known]
        tests[name] = class_test(*counts, permutations=permutations, seed=seed)
    return tests, scores


@register("data-drift", reference="Rabanser, Günnemann & Lipton 2019, arXiv:1810.11953")
class DataDrift(Evaluation):
    """Test whether a data set comes from the source of a reference, in features, properties and classes.

    All tests are one family: the verdict, that the sets differ, is wrong with probability `alpha` at most where they
    come from one source (Holm's correction). Without a model the features are small copies of the images and their
    properties; a model adds the logarithms of its class probabilities.
    """

    title: ClassVar[str] = "Does this data differ from the reference?"
    measures: ClassVar[tuple[str, ...]] = ("p_value", "auroc", "distance")
    needs: ClassVar[frozenset[str]] = frozenset({"images"})

    reference: str = Field(description="data SPEC of the reference, such as the training data")
    model: str = Field(default="", description="SPEC of a model, for tests of its outputs; default none")
    alpha: float = Field(
        default=0.05, gt=0, lt=1, description="probability of a difference being shown where there is none"
    )
    permutations: int = Field(default=999, ge=99, le=1_000_000, description="random divisions of a permutation test")
    most: int = Field(default=1000, ge=20, le=10_000, description="images of each set in a kernel test")

    @property
    @override
    def further_data(self) -> tuple[str, ...]:
        return (self.reference,)

    @property
    @override
    def further_models(self) -> tuple[str, ...]:
        return (self.model,) if self.model else ()

    @override
    def check(self, subject: EvaluationSubject) -> None:
        most = len(property_names()) + 6
        if most / (self.permutations + 1) > self.alpha:
            raise ParameterError(
                f"permutations={self.permutations} are too few for alpha={self.alpha:g} and {most} tests: give "
                f"{math.ceil(most / self.alpha)} or more"
            )

    @override
    def judge(self, subject: EvaluationSubject) -> EvaluationFindings:
        other = subject.with_data(self.reference)
        sets = [SampleSet("data", subject.samples, subject.indices)]
        sets.append(SampleSet(self.reference, other.samples, other.indices))
        measured = measure_sets(subject, sets, [SmallCopies()])
        logits = self._logits(subject, other, measured) if self.model else None
        readable = measured.readable if logits is None else measured.readable & np.isfinite(logits).all(1)
        rows = np.concatenate([np.flatnonzero(readable & (measured.set_of == one)) for one in (1, 0)])
        classes = second_model(self.model).classes if self.model else ()
        pair = TwoSets(measured, rows, None if logits is None else logits[rows], classes)
        counts = [int((pair.is_data == one).sum()) for one in (0, 1)]
        if min(counts) < LEAST:
            raise DataError(
                f"data-drift: {counts[0]} images of the reference and {counts[1]} of the data can be used: give "
                f"{LEAST} of each at least"
            )
        tests, scores = drift_tests(pair, permutations=self.permutations, most=self.most)
        listings = _listings(pair, tests)
        unread = len(other.indices) - int(measured.readable[measured.set_of == 1].sum())
        remarks = [f"{unread:,} images of the reference cannot be read."] if unread else []
        named = {one for i, one in enumerate(measured.labels) if one is not None and measured.set_of[i] == 0}
        if named and named.isdisjoint(one for i, one in enumerate(measured.labels) if measured.set_of[i] == 1):
            remarks.append("The sets have no name of a class in common: shares of labels are not tested.")
        if logits is not None:
            shares, remark = self._label_shift(pair, logits[rows], other)
            listings += [shares] if shares else []
            remarks += [remark] if remark else []
        for name, sign, one in (("unlike-reference", 1, 1), ("unlike-data", -1, 0)):
            own = np.flatnonzero(pair.is_data == one)
            order = own[np.argsort(-sign * scores[own], kind="stable")][:SHOWN]
            notes = [f"rank {place + 1}" for place in range(len(order))]
            issues = Issues(rows[order], -sign * scores[order], len(own), notes=notes)
            write_issues(subject, name, issues, measured)
            write_pictures(subject, name, issues, measured, sets)
        return self._findings(tests, listings, remarks, counts)

    def _logits(self, subject: EvaluationSubject, other: EvaluationSubject, measured: Measurements) -> Numbers:
        """The model's logits of all samples of both sets, NaN where there are none; kept in the run directory."""
        model = second_model(self.model).to(subject.device)
        parts = [_logits_of(one, model, name) for one, name in ((subject, "data"), (other, "reference"))]
        found = np.full((len(measured), parts[0][1].shape[1]), np.nan)
        for number, (ids, values) in enumerate(parts):
            own = np.flatnonzero(measured.set_of == number)
            place = {measured.ids[i]: i for i in own.tolist()}
            found[[place[i] for i in ids]] = values
        return found

    def _label_shift(self, sets: TwoSets, logits: Numbers, other: EvaluationSubject) -> tuple[Listing | None, str]:
        """The shares of classes that the model's predictions suggest, or the reason why there are none."""
        classes = logits.shape[1]
        model = second_model(self.model)
        aligned = align(other.samples, ModelClasses.of(model, classes, self.model), needed=False).dataset
        if aligned.labels is None or aligned.labels.ndim > 1:
            return None, "The reference has no labels of the model's classes: shares of classes are not estimated."
        at = {aligned.ids[i]: i for i in other.indices}
        ids = [sets.measured.ids[i] for i in sets.rows[sets.is_data == 0].tolist()]
        labels = aligned.labels[[at[name] for name in ids]]
        predicted, shifted = sets.pair(logits.argmax(1))
        kept = (labels >= 0) & (labels < classes)
        try:
            found = estimate_label_shift(predicted[kept], labels[kept], shifted, classes)
        except ParameterError as error:
            return None, f"Shares of classes are not estimated: {error}."
        counts, of = np.bincount(labels[kept], minlength=classes).tolist(), int(kept.sum())
        rows = [
            (_class_name(model.classes, k), share(counts[k], of), one) for k, one in enumerate(found) if one is not None
        ]
        rows.sort(key=lambda row: -abs(row[2].value - row[1].value))
        caption = (
            "Shares of classes in the data, estimated from predictions: true where only the shares changed, and the "
            "model was not trained on the reference."
        )
        return Listing(
            caption, ("class", "share in the reference", "share in the data, estimated"), tuple(rows[:LISTED])
        ), ""

    def _findings(
        self, tests: Mapping[str, TwoSampleTest], listings: Sequence[Listing], remarks: Sequence[str],
        counts: Sequence[int],
    ) -> EvaluationFindings:  # fmt: skip
        corrected = dict(zip(tests, holm([t.p_value for t in tests.values()]).tolist(), strict=True))
        order = sorted(tests, key=lambda name: (corrected[name], tests[name].p_value))
        differ = [name for name in order if corrected[name] <= self.alpha]
        level = f"at a level of {self.alpha:.0%} for all {len(tests)} tests together"
        if differ:
            answer = [f"The data differs from the reference, {level}: in {', '.join(map(_title, differ))}."]
        else:
            answer = [f"No difference from the reference is shown, {level}."]
        figures = {"p_value": _p_figure(min(corrected.values()), sum(counts), len(tests))}
        for name, test in tests.items():
            figures[f"p_value_{name}"] = _p_figure(corrected[name], sum(counts), len(tests))
            if test.figure is not None:
                prefix, _, rest = name.partition("_")
                figures[f"auroc_{rest}" if prefix == "classifier" else f"distance_{name}"] = test.figure
        of = "model" if "auroc_model" in figures else "pixels"
        area = figures[f"auroc_{of}"]
        answer.append(
            f"A linear classifier of {FEATURES[of]} tells held-out images of the two sets apart with an AUROC of "
            f"{area.value:.3f} ({area.low:.3f} to {area.high:.3f}; 0.5 is chance)."
        )
        columns = ("test", "statistic", "p", "p, corrected", "differs")
        rows = tuple(
            (
                _title(name), tests[name].figure or tests[name].statistic, tests[name].p_value, corrected[name],
                "yes" if name in differ else "",
            )
            for name in order
        )  # fmt: skip
        caption = f"Tests of {counts[0]:,} images of the reference and {counts[1]:,} of the data, one family."
        return EvaluationFindings(
            {}, figures, tuple(remarks), answer=tuple(answer), listings=(Listing(caption, columns, rows), *listings),
            extra={"titles": UNLIKE, "differ": differ, "reference_samples": counts[0], "data_samples": counts[1]},
        )  # fmt: skip


def _logits_of(subject: EvaluationSubject, model: Classifier, name: str) -> tuple[list[str], Numbers]:
    """Ids and logits of the samples of a set that can be read."""
    dataset = subject.samples

    def make() -> dict[str, Tensor]:
        place, oracle = {dataset.ids[i]: i for i in subject.indices}, Oracle(model)
        found, indices = list[Tensor](), list[int]()
        with evaluating(model), torch.no_grad():
            for batch in subject.batches(model.view):
                for piece in torch.split(batch.images, batch_for(batch.images)):
                    found.append(oracle.forward(piece)[0].float().cpu())
                indices += [place[i] for i in batch.ids]
        if not found:
            raise DataError(f"none of the samples of {dataset.options.spec!r} can be read: there is nothing to test")
        return {"logits": torch.cat(found), "indices": torch.tensor(indices)}

    kept = subject.arrays(f"logits-{name}", make)
    return [dataset.ids[i] for i in kept["indices"].tolist()], kept["logits"].double().numpy()


def _listings(sets: TwoSets, tests: Mapping[str, TwoSampleTest]) -> list[Listing]:
    """Tables of what the tests of properties and classes are of, those that differ most first."""
    names = sorted(sets.properties, key=lambda name: -tests[name].statistic)
    lines = []
    for name in names:
        one, two = (float(np.median(values)) for values in sets.pair(sets.properties[name]))
        lines.append((name, one, two, tests[name].figure))
    caption = "Properties of the images: medians, and the largest difference of the distribution functions."
    found = [Listing(caption, ("property", "reference", "data", "distance"), tuple(lines))] if lines else []
    captions = {"labels": "Shares of the labels.", "predictions": "Shares of the classes that the model predicts."}
    for name, (first, second) in sets.class_counts().items():
        m, n = first.total(), second.total()
        known = sorted({*first, *second})
        rows = [(k, share(first[k], m), share(second[k], n), newcombe((second[k], first[k]), (n, m))) for k in known]
        rows.sort(key=lambda row: -abs(row[3].value))
        which = f" The {LISTED} that change most, of {len(rows)}." if len(rows) > LISTED else ""
        columns = ("class", "reference", "data", "difference")
        found.append(Listing(captions[name] + which, columns, tuple(rows[:LISTED])))
    return found


def _class_name(names: Sequence[str], number: int) -> str:
    return names[number] if number < len(names) else str(number)


def _title(name: str) -> str:
    kind, _, of = name.partition("_")
    if of in FEATURES:
        return f"{FEATURES[of]} ({kind} test)"
    return {"labels": "shares of labels", "predictions": "shares of predicted classes"}.get(
        name, name.replace("_", " ")
    )


def _p_figure(value: float, samples: int, tests: int) -> Figure:
    return Figure(value, value, value, samples, f"holm over {tests} tests, no interval")
