"""`Verification`: rows of a submission beside the same rows computed again, and what the differences mean."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unshaken.core.errors import ParameterError
from unshaken.core.notebook import facts_card
from unshaken.core.part import CLEAN
from unshaken.measure.statistics.intervals import Figure, drawn_share
from unshaken.measure.statistics.paired import mcnemar
from unshaken.store.config import RunConfig
from unshaken.store.run_dir import RunDir

ROUNDING = 1e-3
"""Difference of two probabilities, and of two losses up to 1, that processors may make of the same sums."""
SIZES = 0.01
"""Relative difference from which two distances or radii are two."""
ALPHA = 1e-3
"""The chance that an honest submission fails any of the tests that rounding makes necessary."""
_FIGURES = ("label", "prediction", "correct", "confidence", "loss", "distance")
_MACHINE = ("processor", "threads", "torch")


@dataclass(frozen=True, slots=True)
class ConditionCheck:
    """The rows of one condition, computed again.

    Args:
        condition: its id.
        method: of the condition.
        repeats: whether the same rows are due on every processor but for rounding: of unchanged images and of changes
            that do not ask the model.
        rows: computed again.
        agree: those with the same outcome.
        rounding: further ones whose two best classes are as good as equal, so that rounding decides.
        favour: rows in which the submission has the model more robust than it was here: right, or at a larger distance.
        against: rows in which it is the other way round.
        largest: largest difference of confidence of rows with the same outcome; of conditions that do not repeat it
            says nothing.
        held: whether the differences can be those of an honest run.
    """

    condition: str
    method: str
    repeats: bool
    rows: int
    agree: int
    rounding: int
    favour: int
    against: int
    largest: float
    held: bool


@dataclass(frozen=True, slots=True)
class Verification:
    """A random share of a submission's samples, computed again.

    Args:
        submission: its file.
        model: its name.
        protocol: digest of its protocol.
        samples: of the submission.
        drawn: those that were computed again.
        seed: of the draw.
        machine: what differs between the two machines, `(what, of the submission, here)`; empty where all rows must be
            the same.
        checks: a condition each.
        differing: samples drawn that have a row which does not agree.
    """

    submission: str
    model: str
    protocol: str
    samples: int
    drawn: int
    seed: int
    machine: tuple[tuple[str, str, str], ...]
    checks: tuple[ConditionCheck, ...]
    differing: int

    @property
    def share(self) -> Figure:
        """The share of all samples that have a row which would not agree, with its 95 % interval."""
        return drawn_share(self.differing, self.drawn, self.samples)

    @property
    def held(self) -> bool:
        """Whether no difference was found that an honest run cannot have."""
        return all(check.held for check in self.checks)

    def sentences(self) -> list[str]:
        """The result for people."""
        failed = [check.condition for check in self.checks if not check.held]
        drawn = f"{self.drawn:,} of {self.samples:,} samples computed again (seed {self.seed})"
        share, agree = self.share, self.drawn - self.differing
        found = [
            f"{drawn}: {'rows differ under ' + ', '.join(failed) if failed else 'the rows agree'}",
            f"All rows agree of {agree:,} of these samples; of all, {share.low:.1%} to {share.high:.1%} would differ "
            "(95 % interval).",
        ]
        if self.machine:
            found.append(
                "Searches and certificates may end elsewhere here, and only a lean to one side counts, for "
                + "; ".join(f"{name}: {there} there, {here} here" for name, there, here in self.machine)
            )
        return found

    def _repr_html_(self) -> str:
        facts = {c.condition: f"{c.agree:,} of {c.rows:,} rows agree" for c in self.checks}
        return facts_card(f"{self.submission}: {self.sentences()[0]}", facts, " ".join(self.sentences()[1:]))

    def to_json(self) -> dict[str, Any]:
        """As `unshaken board verify --json` prints it."""
        return {**asdict(self), "held": self.held, "share": self.share.to_json()}


def draw_ids(ids: list[str], share: float, seed: int) -> list[str]:
    """A random share of ids, at least one, in their order.

    Args:
        ids: of a run.
        share: in (0, 1].
        seed: of the draw.

    Raises:
        ParameterError: the share is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise ParameterError(f"share {share} must be above 0 and at most 1, such as 0.05")
    count = max(1, round(share * len(ids)))
    places = np.random.default_rng(seed).choice(len(ids), count, replace=False)
    return [ids[place] for place in np.sort(places)]


def machine_differences(theirs: RunConfig, ours: RunConfig) -> tuple[tuple[str, str, str], ...]:
    """What lets two runs round differently: processor, threads, version of torch, and any device but the processor."""
    pairs = [(name, theirs.provenance.get(name, ""), ours.provenance.get(name, "")) for name in _MACHINE]
    found = [(name, str(a), str(b)) for name, a, b in pairs if a != b]
    if theirs.device != "cpu" or ours.device != "cpu":
        found.append(("device", theirs.device, ours.device))
    return tuple(found)


def check_rows(
    theirs: RunDir, ours: RunDir, config: RunConfig, *, same_machine: bool
) -> tuple[tuple[ConditionCheck, ...], int]:
    """Compare the rows of a run with those of a submission, condition by condition.

    Rows of unchanged images and of changes that do not ask the model must be the same but for rounding. So must those
    of searches and certificates on the same machine. On another one rounding leads some of them elsewhere, as often
    for the model as against it: there, and of distances everywhere, the sign test says whether the differences lean to
    the submission's side by more than chance.

    Args:
        theirs: directory of the submission.
        ours: directory of the run that computed some of its samples again.
        config: of that run.
        same_machine: whether both ran where nothing rounds differently; see `machine_differences`.

    Returns:
        A check a condition, and the number of samples that have a row which does not agree.
    """
    rooms = {name: method.room for name, method in config.methods.items()}
    methods = {CLEAN.id: CLEAN.method} | {c: step.method for step in config.steps for c in step.conditions}
    found, differing = list[ConditionCheck](), np.zeros(len(config.ids), bool)
    for condition, method in methods.items():
        one, other = (_read(run, condition, list(config.ids)) for run in (theirs, ours))
        if not (one.there.any() or other.there.any()):
            continue  # a line of the plan that cannot be run with this model
        repeats = condition == CLEAN.id or rooms.get(method) == "stress"
        check, differs = _check(condition, method, one, other, repeats, same_machine, ALPHA / len(methods))
        found.append(check)
        differing |= differs
    return tuple(found), int(differing.sum())


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of a condition in the order of some ids; nulls are NaN.

    Args:
        there: whether there is a row.
        bad: whether the sample could not be used.
        certified: whether it has a radius.
        figures: name to float64 `[N]`, those of `_FIGURES` and `size`: distance, or radius of a certificate.
    """

    there: NDArray[np.bool_]
    bad: NDArray[np.bool_]
    certified: NDArray[np.bool_]
    figures: dict[str, NDArray[np.float64]]


def _read(run: RunDir, condition: str, ids: list[str]) -> _Rows:
    table = _taken(run.rows("outcomes", ["id", "error", *_FIGURES], condition=condition), ids)
    figures = {name: _numbers(table[name]) for name in _FIGURES}
    there, bad = table["id"].is_valid(), table["error"].is_valid()
    proofs = _taken(run.rows("certificates", ["id", "radius"], condition=condition), ids)
    radius = _numbers(proofs["radius"])
    certified = ~np.isnan(radius)
    figures["size"] = np.where(certified, radius, figures.pop("distance"))
    return _Rows(there.to_numpy(), bad.to_numpy(), certified, figures)


def _taken(table: pa.Table, ids: list[str]) -> pa.Table:
    """The rows of some ids in their order, all null where there is none."""
    places = pc.index_in(pa.array(ids, pa.string()), value_set=table["id"].cast(pa.string()).combine_chunks())
    return table.take(places)


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return np.asarray(column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(), np.float64)


def _check(
    condition: str, method: str, theirs: _Rows, ours: _Rows, repeats: bool, same_machine: bool, alpha: float
) -> tuple[ConditionCheck, NDArray[np.bool_]]:
    """The check of one condition, and whether each row differs by more than rounding, `[N]`."""
    a, b = theirs.figures, ours.figures
    whole = theirs.there & ours.there & (theirs.bad == ours.bad)
    outcome = whole & _equal(a["label"], b["label"]) & _equal(a["correct"], b["correct"])
    answer = outcome & _equal(a["prediction"], b["prediction"])
    near = _near(a["confidence"], b["confidence"], ROUNDING)
    agree, rounding = outcome, np.zeros_like(outcome)
    if repeats:
        agree = answer & near & _near(a["loss"], b["loss"], ROUNDING * np.maximum(1, np.abs(b["loss"])))
        rounding = whole & ~agree & near & _is_tie(a, b)
    with np.errstate(invalid="ignore"):
        larger, smaller = (x["size"] > y["size"] * (1 + SIZES) + 1e-9 for x, y in ((a, b), (b, a)))
        right, wrong = (x["correct"] > y["correct"] for x, y in ((a, b), (b, a)))
    sized = whole & outcome & (larger | smaller)
    apart = ~agree & ~rounding
    favour = (apart & right) | (sized & larger)
    against = (apart & wrong) | (sized & smaller)
    gap = np.abs(a["confidence"] - b["confidence"])[answer]
    odd = apart & ~(whole & (right | wrong) & _equal(a["label"], b["label"]))  # no search leads there
    strict = apart | (sized & ours.certified) if same_machine else apart if repeats else odd
    held = not strict.any() and (repeats or _is_chance(int(favour.sum()), int(against.sum()), alpha))
    check = ConditionCheck(
        condition, method, repeats, len(agree), int((agree & ~sized).sum()), int(rounding.sum()), int(favour.sum()),
        int(against.sum()), float(np.nanmax(gap)) if gap.size and not np.isnan(gap).all() else 0.0, bool(held),
    )  # fmt: skip
    return check, apart | sized


def _is_chance(favour: int, against: int, alpha: float) -> bool:
    """Whether differences on both sides are as likely, by the one-sided sign test."""
    return favour <= against or mcnemar(against, favour) / 2 >= alpha


def _is_tie(a: dict[str, NDArray[np.float64]], b: dict[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Whether the two best classes are as good as equal by the row that is wrong: its label is the runner-up.

    Where the submission is right and this run is not, only the own row counts, which the sender cannot have changed.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        ours, theirs = (np.abs(x["confidence"] - np.exp(-x["loss"])) <= ROUNDING for x in (b, a))
        wrong_here, wrong_there = (x["correct"] == 0 for x in (b, a))
        both = wrong_here & wrong_there & (a["prediction"] != b["prediction"])
    tied: NDArray[np.bool_] = np.where(wrong_here & ~wrong_there, ours, wrong_there & ~wrong_here & theirs) | both
    return tied & _equal(a["label"], b["label"])


def _equal(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.equal(a, b) | (np.isnan(a) & np.isnan(b))


def _near(a: NDArray[np.float64], b: NDArray[np.float64], most: float | NDArray[np.float64]) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        near: NDArray[np.bool_] = np.abs(a - b) <= most
    return _equal(a, b) | near
