"""Flags that a run raises of its conditions, its labels, and all its rows together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import special
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.device import widen
from unshaken.core.flag import Flag, FlagKind
from unshaken.core.label_record import LabelRecord
from unshaken.core.oracle import Oracle, required
from unshaken.core.part import MODEL as MODEL
from unshaken.core.part import Condition
from unshaken.core.query import Answer, Gradient, Objective
from unshaken.core.trust import NON_FINITE
from unshaken.data import Dataset
from unshaken.data.box_files import cut_boxes
from unshaken.run.plan import prepare
from unshaken.store.config import Entry

EPS_ZERO = FlagKind(
    "eps-zero",
    "an attack has no budget",
    "Give the budget in units of [0, 1] pixels, such as 8/255.",
)
OUT_OF_BUDGET = FlagKind(
    "out-of-budget",
    "a change is larger than the budget says",
    "Do not use the figure of that condition; correct the method's projection, or report the fault.",
)
SINGLE_CLASS = FlagKind(
    "single-class",
    "all samples have one label",
    "Point the data SPEC at the folder that has one subfolder a class.",
)
LABEL_OUT_OF_RANGE = FlagKind(
    "label-out-of-range",
    "labels are no classes of the model",
    "Check the class names and their order in the model and in the data.",
)
NEAR_CHANCE = FlagKind(
    "near-chance",
    "clean accuracy is no better than guessing",
    "Get the clean accuracy right first: class order, normalisation, channel order, input size.",
)


BY_POSITION = FlagKind(
    "classes-by-position",
    "class n of the data counts as class n of the model, whatever both are called",
    "Compare the names in the line on labels, and name the model's outputs by ?classes=FILE in its SPEC instead.",
)
BOXES_CUT = FlagKind(
    "boxes-cut",
    "boxes of objects reach beyond their photos",
    "Look whether the numbers are corners, sizes or centres, and of photos of this size; correct the file of boxes.",
)


def check_order_of_user(labels: LabelRecord | None) -> list[Flag]:
    """Classes that were taken by position because the user wanted it."""
    if labels is None or not labels.asked:
        return []
    pairs = [f"{name} as class {k}" for name, k in list(labels.classes.items())[:_SHOWN]]
    more = f" and {len(labels.classes) - _SHOWN} more" if len(labels.classes) > _SHOWN else ""
    text = f"classes are taken by position ({', '.join(pairs)}{more}), as classes=positions says"
    return [BY_POSITION.flag(f"{text}: name the model's outputs to match them by name")]


def check_boxes(dataset: Dataset, ids: Sequence[str]) -> list[Flag]:
    """Boxes of objects that reach beyond their photos, of which what is outside was cut off.

    Args:
        dataset: whose boxes these are.
        ids: of the samples that count.
    """
    cut, text = cut_boxes(dataset.boxes, ids)
    return [BOXES_CUT.flag(f"{text}: check them, first that of {cut[0]!r}", cut)] if cut else []


def check_conditions(conditions: list[Condition]) -> list[Flag]:
    """Budgets of zero, which make an attack a clean evaluation."""
    zero = [c.id for c in conditions if c.eps == 0]
    return [EPS_ZERO.flag(f"{', '.join(zero)}: eps is 0, so this is clean accuracy: give a budget")] if zero else []


def check_labels(dataset: Dataset, ids: Sequence[str], classes: Sequence[str]) -> list[Flag]:
    """Labels that the model cannot predict."""
    over = {dataset.ids[i] for i, reason in dataset.bad.items() if "out of range" in reason}
    wrong = tuple(i for i in ids if i in over) if over else ()
    if not wrong:
        return []
    detail = f"{len(wrong)} samples have labels that are no classes of the model ({len(classes)} classes)"
    return [LABEL_OUT_OF_RANGE.flag(f"{detail}: check the order and number of classes", wrong)]


def check_accuracy(clean: pa.Table) -> list[Flag]:
    """Doubts about all unchanged images together: chance accuracy, one class.

    Args:
        clean: outcomes of good samples, unchanged.
    """
    labels = clean["label"].drop_null().to_numpy()
    if not len(labels):
        return []
    counts = np.unique(labels, return_counts=True)[1]
    right = int(pc.sum(clean["correct"]).as_py() or 0)
    if len(counts) == 1 and len(labels) > 1:
        return [SINGLE_CLASS.flag(f"all {len(labels)} samples have label {labels[0]}: use data with every class")]
    if not _like_guessing(right, len(labels), len(counts)):
        return []
    text = f"clean accuracy {right / len(labels):.3f} on {len(counts)} classes is no better than guessing"
    return [NEAR_CHANCE.flag(f"{text}, on {len(labels)} samples: check labels, class order and preprocessing")]


def suspicious(frame: pa.Table) -> pa.Table:
    """The rows on which `check_values` raises a flag.

    Args:
        frame: outcomes of good samples.
    """
    return frame.filter(pc.or_(_over_budget(frame), _not_finite(frame)))


def _over_budget(frame: pa.Table) -> pa.ChunkedArray:
    return pc.fill_null(pc.greater(frame["distance"], pc.multiply(frame["eps"], 1 + 1e-6)), False)


def _not_finite(frame: pa.Table) -> pa.ChunkedArray:
    return pc.fill_null(pc.invert(pc.is_finite(frame["confidence"])), False)


def check_values(frame: pa.Table) -> list[Flag]:
    """Budgets that are broken, and outputs that are NaN or infinite.

    Args:
        frame: outcomes of good samples; those that `suspicious` leaves out make no difference.
    """
    flags, broken, odd = [], frame.filter(_over_budget(frame)), frame.filter(_not_finite(frame))
    if len(broken):
        ids = tuple(dict.fromkeys(broken["id"].to_pylist()))
        flags.append(OUT_OF_BUDGET.flag(f"{len(broken)} attacked images lie outside their budget: report this", ids))
    if len(odd):
        ids = tuple(dict.fromkeys(odd["id"].to_pylist()))
        where = ", ".join(dict.fromkeys(odd["condition"].to_pylist()))
        flags.append(NON_FINITE.flag(f"{len(ids)} samples get NaN or infinite outputs under {where[:200]}", ids))
    return flags


def _like_guessing(right: int, n: int, classes: int) -> bool:
    """Whether chance explains the right answers, on samples enough for a perfect model to show that it is none."""
    by_luck: float = float(special.bdtrc(right - 1, n, 1 / classes))
    return bool(classes ** -float(n) <= 0.05 < by_luck)


BORDER_GRADIENT = FlagKind(
    "border-gradient",
    "pixels that are black or white have no gradient, so attacks never move them",
    "Do not use the accuracy under gradient attacks. Where the model clips its input, use "
    "unshaken.core.boxes.boxed in the place of torch.clamp.",
)

FEW = 16
"""Images looked at."""
ENOUGH = 8
"""Pixels with a gradient inside that say something; of fewer, a dead unit may have taken it."""
INSET = 1e-3
"""How far black and white pixels are moved inwards, to see whether they have a gradient there."""


class TopLogit(Objective):
    """The largest logit."""

    @override
    def __call__(self, answer: Answer) -> Tensor:
        """`[N]`."""
        return required(answer.logits).amax(1)


def check_borders(oracle: Oracle, batch: Batch) -> Iterator[Flag]:
    """Most pixels that are exactly 0 or 1 have no gradient, and have one once moved a little inwards.

    In torch 2.15 `torch.clamp` gives no gradient at its bounds; in 2.13 it did.

    Args:
        oracle: runs the model and counts its passes, in evaluation mode.
        batch: the first samples.
    """
    images = batch.images[:FEW].float()
    border = (images == 0) | (images == 1)
    if not oracle.model.differentiable or not bool(border.any()):
        return
    moved = torch.where(border, images.clamp(INSET, 1 - INSET), images)
    here, inside = (required(oracle.ask(Gradient(x, of=TopLogit())).gradient) for x in (images, moved))
    border_gradients = here[border & (inside != 0)]
    share = float(widen(border_gradients == 0).mean())
    if len(border_gradients) >= ENOUGH and share > 0.5:
        text = (
            f"{100 * share:.0f} % of the pixels that are exactly 0 or 1 have no gradient, and have one {INSET:g} inside"
        )
        yield BORDER_GRADIENT.flag(f"{text}: a clamp in the model hides them from attacks; clip without it")


BLACK_BOX_WINS = FlagKind(
    "black-box-wins",
    "attacks without gradients break what attacks with gradients leave standing",
    "Do not use the accuracy under gradient attacks alone. Run --method auto, transfer from a model "
    "trained alike, and read the worst of all.",
)

BEYOND = 0.002
"""Share of the samples that attacks without gradients may break beyond those with, as AutoAttack warns."""


@dataclass(slots=True)
class Ball:
    """Samples that attacks without gradients alone break, within a norm and a radius.

    Args:
        samples: number of samples attacked there.
        only: those that no attack with gradients breaks, each with the first condition under which one is broken.
        searches: those without gradients that broke a sample.
    """

    samples: int = 0
    only: dict[str, str] = field(default_factory=dict)
    searches: set[str] = field(default_factory=set)


class Masking:
    """Whether attacks without gradients broke samples in some ball that no attack with gradients broke there.

    A ball in which no search with gradients was run says nothing. One sample alone is put down to luck.

    Args:
        turns: what each search did; `gradients` says whether it follows the model's own. At a larger budget a search
            may have no samples left; it still counts for those it broke before.
    """

    def __init__(self, turns: pa.Table) -> None:
        columns = ("condition", "attack", "gradients")
        every = turns.group_by(list(columns)).aggregate([("forwards", "sum")])
        rows = list(zip(*(every[k].to_pylist() for k in (*columns, "forwards_sum")), strict=True))
        self._follows = {(c, attack): gradients for c, attack, gradients, _ in rows}
        self._tried = {c for c, _, gradients, forwards in rows if gradients and forwards}
        self.balls: dict[tuple[str, float], Ball] = defaultdict(Ball)

    def add(self, outcomes: pa.Table) -> None:
        """Take in the outcomes of some samples, under all conditions.

        Args:
            outcomes: of good samples; `broken_by` names the search that broke each.
        """
        attacked = outcomes.filter(pc.is_valid(outcomes["eps"])) if self._tried else outcomes.slice(0, 0)
        for ball in attacked.group_by(["norm", "eps"], use_threads=False).aggregate([]).to_pylist():
            rows = attacked.filter(
                pc.and_(pc.equal(attacked["norm"], ball["norm"]), pc.equal(attacked["eps"], ball["eps"]))
            )
            if not self._tried & set(pc.unique(rows["condition"]).to_pylist()):
                continue
            found = self.balls[ball["norm"], ball["eps"]]
            found.samples += pc.count_distinct(rows["id"]).as_py()
            rows = rows.filter(pc.is_valid(rows["broken_by"]))
            triples = list(zip(*(rows[k].to_pylist() for k in ("id", "condition", "broken_by")), strict=True))
            blind = [row for row in triples if self._follows.get(row[1:]) is False]
            known = {id for id, *search in triples if self._follows.get(tuple(search)) is not False}
            found.searches |= {search for _, _, search in blind}
            for id, condition, _ in blind:
                if id not in known:
                    found.only.setdefault(id, condition)

    def flags(self, order: Callable[[str], str] = str) -> list[Flag]:
        """A flag for each ball in which more than luck is met.

        Args:
            order: key by which conditions, and so samples, are sorted.
        """
        flags = []
        for (norm, eps), ball in sorted(self.balls.items()):
            only = tuple(sorted(ball.only, key=lambda id: order(ball.only[id])))
            if len(only) > max(1, BEYOND * ball.samples):
                which = f"{len(only)} of {ball.samples} samples at {norm} {eps:.4g}"
                text = f"{', '.join(sorted(ball.searches))} breaks {which} that no attack with gradients breaks"
                advice = "gradients may be masked; run --method auto, or transfer"
                flags.append(BLACK_BOX_WINS.flag(f"{text}: {advice}", only))
        return flags


PERMUTED = FlagKind(
    "permuted-classes",
    "labels and predictions agree once classes are exchanged",
    "Name the classes in the order of the outputs (?classes=FILE in the model's SPEC), or correct the labels.",
)
SHARE = 2 / 3
"""Share of a class's samples that must be predicted as one and the same class."""
FEWEST = 10
"""Samples of a class, or of all exchanged ones where the exchange explains much, below which no flag is raised."""
MUCH = 0.25
"""Rise of the accuracy by the exchange from which classes with fewer than `FEWEST` samples count."""
_SHOWN = 8


def exchanged_classes(labels: ArrayLike, predictions: ArrayLike) -> dict[int, int]:
    """Label to the class that is predicted in its place, where the classes are exchanged; empty where they are not.

    A class is exchanged when at least `SHARE` of its two or more samples are predicted as one other class, as which no
    third class mostly is. Classes with fewer than `FEWEST` samples count only where together they have that many and
    the exchange raises the accuracy by `MUCH`. A single class raises no flag.

    Args:
        labels: int `[N]`.
        predictions: int `[N]`, negative where the model gave none.

    >>> exchanged_classes([0] * 9 + [1] * 9 + [2] * 9, [1] * 9 + [0] * 8 + [2] + [2] * 9)
    {0: 1, 1: 0}
    """
    y, z = np.asarray(labels, np.int64), np.asarray(predictions, np.int64)
    rows = np.lexsort((z, y))
    first = np.flatnonzero(np.r_[len(y) > 0, (np.diff(y[rows]) != 0) | (np.diff(z[rows]) != 0)])  # of each pair
    pairs, times = np.stack([y[rows][first], z[rows][first]], 1), np.diff(np.r_[first, len(y)])
    target: dict[int, int] = {}
    for label in np.unique(pairs[:, 0]).tolist():
        own = pairs[:, 0] == label
        values, counts = pairs[own, 1], times[own]
        most = int(counts.argmax())
        if counts.sum() > 1 and counts[most] >= SHARE * counts.sum() and values[most] >= 0:
            target[label] = int(values[most])
    alone = {k for k, n in Counter(target.values()).items() if n == 1}
    moved = {label: k for label, k in target.items() if k != label and k in alone}
    if sum(len(y[y == k]) for k in moved) < FEWEST or _agreement(z, _renamed(y, moved)) - _agreement(z, y) < MUCH:
        moved = {label: k for label, k in moved.items() if len(y[y == label]) >= FEWEST}
    return moved if len(moved) > 1 else {}


def check_order_of_classes(frame: pa.Table, classes: Sequence[str]) -> list[Flag]:
    """A flag with the permutation, where clean predictions agree with the labels up to one.

    Args:
        frame: outcomes of good samples, unchanged.
        classes: names in logit order.
    """
    clean = frame.filter(pc.is_valid(frame["label"]))
    labels, predictions = clean["label"].to_numpy(), clean["prediction"].to_numpy()
    moved = exchanged_classes(labels, predictions)
    if not moved:
        return []
    before, after = _agreement(predictions, labels), _agreement(predictions, _renamed(labels, moved))
    pairs = [f"{_name(classes, a)} is predicted as {_name(classes, b)}" for a, b in list(moved.items())[:_SHOWN]]
    more = f", and {len(moved) - _SHOWN} more" if len(moved) > _SHOWN else ""
    text = f"{', '.join(pairs)}{more}; exchanged so, {after:.1%} of the predictions are right, not {before:.1%}"
    return [PERMUTED.flag(text)]


def _renamed(labels: NDArray[np.int64], moved: Mapping[int, int]) -> NDArray[np.int64]:
    names, codes = np.unique(labels, return_inverse=True)
    return np.array([moved.get(k, k) for k in names.tolist()], np.int64)[codes]


def _agreement(predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    return float((predictions == labels).mean())


def _name(classes: Sequence[str], k: int) -> str:
    return f"{classes[k]!r}" if k < len(classes) else f"class {k}"


_SLACK = 1e-6

BROKEN = FlagKind(
    "certificate-broken",
    "an example lies within a radius that was certified",
    "Do not rely on these certificates; report the fault with the run directory.",
)


def subjects(plan: Sequence[Entry]) -> dict[str, str]:
    """The classifier that each condition of a plan is about."""
    return {c.id: getattr(step.method, "subject", MODEL) for step in prepare(plan) for c in step.conditions}


def broken(outcomes: pa.Table, certificates: pa.Table, subject_of: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Certified conditions to the samples with another answer at a distance within their radius.

    Args:
        outcomes: rows with `id`, `condition`, `norm`, `prediction` and `distance`.
        certificates: rows.
        subject_of: see `subjects`; other conditions are left alone.
    """
    moved = outcomes.filter(pc.fill_null(pc.greater(outcomes["distance"], 0.0), False))
    held_at = pc.and_(pc.greater(certificates["radius"], 0.0), pc.is_valid(certificates["prediction"]))
    sure = certificates.filter(pc.and_not(held_at, pc.fill_null(certificates["abstained"], False)))
    found: dict[str, tuple[str, ...]] = {}
    for name in sorted(pc.unique(sure["condition"]).to_pylist()):
        alike = [c for c, subject in subject_of.items() if subject == subject_of.get(name)]
        rows = moved.filter(pc.is_in(moved["condition"], pa.array(alike, pa.string())))
        own = sure.filter(pc.equal(sure["condition"], name)).combine_chunks()
        at = pc.index_in(rows["id"], value_set=own["id"].combine_chunks())
        rows, own = rows.filter(pc.is_valid(at)), own.take(at.drop_null())
        inside = pc.less(pc.multiply(rows["distance"], 1 + _SLACK), own["radius"])
        other = pc.fill_null(pc.not_equal(rows["prediction"], own["prediction"]), True)
        wrong = pc.and_(pc.and_(pc.equal(rows["norm"], own["norm"]), inside), other)
        if ids := pc.unique(rows["id"].filter(wrong)).to_pylist():
            found[name] = tuple(sorted(ids))
    return found


class Order:
    """Whether an example contradicts a certificate; see `broken`.

    Args:
        subject_of: see `subjects`.
    """

    def __init__(self, subject_of: Mapping[str, str]) -> None:
        self._subject_of = subject_of
        self._broken: dict[str, tuple[str, ...]] = defaultdict(tuple)
        self._rows, self._alpha = Counter[str](), dict[str, float]()

    def add(self, outcomes: pa.Table, certificates: pa.Table) -> None:
        """Take in the outcomes of some samples under all conditions, and their certificates."""
        for one in certificates.group_by("condition").aggregate([("alpha", "max"), ([], "count_all")]).to_pylist():
            self._rows[one["condition"]] += one["count_all"]
            self._alpha[one["condition"]] = max(self._alpha.get(one["condition"], 0.0), one["alpha_max"] or 0.0)
        for name, ids in broken(outcomes, certificates, self._subject_of).items():
            self._broken[name] += ids

    def flags(self) -> list[Flag]:
        """A flag for each certified condition that an example contradicts."""
        flags = []
        for name, ids in sorted(self._broken.items()):
            rows, alpha = self._rows[name], self._alpha[name]
            chance = f"about {alpha * rows:.2g} are expected by chance (alpha={alpha:g})" if alpha else "none may be"
            text = f"{name}: examples lie within the certified radius of {len(ids)} of {rows} samples; {chance}"
            flags.append(BROKEN.flag(f"{text}: this is an error of unshaken, report it", sorted(ids)))
        return flags
