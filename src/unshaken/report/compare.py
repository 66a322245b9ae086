"""`compare_runs`: runs side by side on the same samples, by pairs."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import ParameterError
from unshaken.core.part import Condition
from unshaken.measure import Comparison, Figure, accuracy, compare, simultaneous
from unshaken.measure.slices import Slicing
from unshaken.report import cells
from unshaken.report.gates.kept import KeptGates, read_gates
from unshaken.report.read.frame import Frame, read_frame
from unshaken.report.read.methods import read_methods
from unshaken.report.read.slices import read_slices
from unshaken.report.read.tasks import TASK_FIGURES, Pair, paired_figures
from unshaken.store.config import RunConfig, read_config
from unshaken.store.run_dir import RunDir, consistent

if TYPE_CHECKING:
    from unshaken.report.effective import RobustnessGroup

NOT_SHOWN = "not shown"
"""The verdict on a difference whose interval holds 0: it may be none, or one that the samples are too few to show."""


@dataclass(frozen=True, slots=True)
class ConditionComparison:
    """The accuracy of two models under one condition, and their paired difference.

    Args:
        condition: what was done to the images.
        baseline: accuracy there.
        candidate: accuracy here.
        paired: what changed, sample by sample; the intervals hold together for all conditions and candidates compared.
    """

    condition: Condition
    baseline: Figure
    candidate: Figure
    paired: Comparison

    @property
    def verdict(self) -> str:
        """`better` or `worse` where the whole interval of the difference says so, else `not shown`."""
        if self.paired.regressed():
            return "worse"
        return "better" if self.paired.improved() else NOT_SHOWN

    def figures(self) -> dict[str, Any]:
        """Give the figures and the verdict as `compare.json` holds them."""
        return {
            "baseline": self.baseline.to_json(),
            "candidate": self.candidate.to_json(),
            "difference": self.paired.difference.to_json(),
            "lost": self.paired.lost,
            "gained": self.paired.gained,
            "p_value": self.paired.p_value,
            "p_adjusted": self.paired.p_adjusted,
            "family": self.paired.family,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True)
class SliceComparison(ConditionComparison):
    """The same on the samples of one slice.

    Args:
        slicing: the column that divides the samples.
        part: the slice.
    """

    slicing: str
    part: str


@dataclass(frozen=True, slots=True)
class RunComparison:
    """A candidate against a baseline, on the samples of both.

    Args:
        baseline: where the baseline lies.
        candidate: where the candidate lies.
        baseline_name: its model, with the end of its path where another run compared has a model of this name.
        candidate_name: likewise.
        n: samples that both have, on which alone they are compared.
        conditions: those that both have, in the candidate's order, `clean` first.
        only_baseline: conditions that the candidate lacks.
        only_candidate: conditions that the baseline lacks.
        notes: what a reader should know, such as another seed.
        measure: what is compared.
        slices: every slice under every condition, by the slices of the candidate, else of the baseline; their intervals
            hold together as a family of their own.
    """

    baseline: str
    candidate: str
    baseline_name: str
    candidate_name: str
    n: int
    conditions: tuple[ConditionComparison, ...]
    only_baseline: tuple[str, ...]
    only_candidate: tuple[str, ...]
    notes: tuple[str, ...]
    measure: str = "accuracy"
    slices: tuple[SliceComparison, ...] = ()

    @property
    def test(self) -> str:
        """The test behind the intervals and p-values, in words."""
        return "McNemar's test" if self.measure == "accuracy" else "the spread of paired resamples of the images"

    def count(self, verdict: str) -> int:
        """How many conditions have a verdict."""
        return sum(c.verdict == verdict for c in self.conditions)

    @property
    def verdicts(self) -> str:
        """How many conditions became better, worse, or neither, in words."""
        better, worse, open_ = (self.count(v) for v in ("better", "worse", NOT_SHOWN))
        n = len(self.conditions)
        return f"better under {better}, worse under {worse}, no difference shown under {open_} of {n} conditions"

    def to_json(self) -> dict[str, Any]:
        """Give the comparison as `summary.json` and `compare.json` hold it."""
        return {
            "baseline": self.baseline,
            "candidate": self.candidate,
            "baseline_name": self.baseline_name,
            "candidate_name": self.candidate_name,
            "n": self.n,
            "conditions": [
                {
                    "condition": c.condition.id,
                    "method": c.condition.method,
                    "severity": c.condition.severity,
                    "eps": c.condition.eps,
                    "norm": c.condition.norm,
                    **c.figures(),
                }
                for c in self.conditions
            ],
            "only_baseline": list(self.only_baseline),
            "only_candidate": list(self.only_candidate),
            "notes": list(self.notes),
            "measure": self.measure,
            "slices": [
                {"slicing": c.slicing, "part": c.part, "condition": c.condition.id, **c.figures()} for c in self.slices
            ],
        }


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Several runs, each against the first.

    Args:
        runs: one for each candidate; the intervals of all hold together.
        robustness: of detectors, what they have beyond a line; see `effective_robustness`.
        gates: of each run, the first included: where it lies, and its gates.
    """

    runs: tuple[RunComparison, ...]
    robustness: tuple[RobustnessGroup, ...] = ()
    gates: tuple[tuple[str, KeptGates], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give all comparisons as `compare.json` holds them."""
        return {
            "schema": 1,
            "comparisons": [r.to_json() for r in self.runs],
            "effective_robustness": [group.to_json() for group in self.robustness],
            "gates": [
                {"run": place, "verdict": kept.verdict, "gates": [r.to_json() for r in kept.results]}
                for place, kept in self.gates
            ],
        }


def compare_runs(
    runs: Sequence[RunDir],
    *,
    family: Sequence[RunDir] = (),
    slope: float | None = None,
) -> Comparisons:
    """Compare runs condition by condition, each on the samples that it shares with the first, the baseline.

    Args:
        runs: two or more.
        family: of detectors, runs of baseline detectors through which the line of effective robustness is fitted.
        slope: of that line in the place of a family; see `effective_robustness`.

    Raises:
        ParameterError: fewer than two runs; runs on different data or without a shared sample; no labels.
        RunError: a directory is no run, or is damaged.
    """
    if len(runs) < 2:
        raise ParameterError(f"a comparison needs at least two run directories, not {len(runs)}")
    with consistent(*runs):
        read = [(run, config := read_config(run), read_frame(run, config)) for run in runs]
        first = read[0]
        pairs = [compare_frames(*first, *other) for other in read[1:]]
        names = distinct_names([(run.path, config.model_name) for run, config, _ in read])
        paired = {(i, c.condition.id): c.paired for i, pair in enumerate(pairs) for c in pair.conditions}
        corrected = simultaneous(paired)
        every = [one for pair in pairs for one in pair.slices]
        together = iter(simultaneous(dict(enumerate(one.paired for one in every))).values())
        return Comparisons(
            tuple(
                replace(
                    pair,
                    baseline_name=names[0],
                    candidate_name=names[i + 1],
                    conditions=tuple(replace(c, paired=corrected[i, c.condition.id]) for c in pair.conditions),
                    slices=tuple(replace(c, paired=next(together)) for c in pair.slices),
                )
                for i, pair in enumerate(pairs)
            ),
            _robustness(runs, pairs, first[1].task, family, slope),
            tuple((str(run), read_gates(run)) for run in runs),
        )


def _robustness(
    runs: Sequence[RunDir], pairs: Sequence[RunComparison], task: str, family: Sequence[RunDir], slope: float | None
) -> tuple[RobustnessGroup, ...]:
    """Effective robustness of detectors on shared samples; none of other models, or of detectors that find nothing."""
    if task != "detection":
        if family or slope is not None:
            raise ParameterError(f"runs of {task} have no line of effective robustness: it is for detectors of objects")
        return ()
    shared = set.intersection(*({c.condition.id for c in pair.conditions} for pair in pairs))
    blind = any(c.value == 0 for pair in pairs for c in (pair.conditions[0].baseline, pair.conditions[0].candidate))
    if blind:
        return ()
    from unshaken.report.effective import effective_robustness  # with figures and blocks of detectors alone

    return effective_robustness(runs, sorted(shared), family=family, slope=slope)


def compare_frames(
    baseline: RunDir,
    before: RunConfig,
    old: Frame,
    candidate: RunDir,
    after: RunConfig,
    new: Frame,
) -> RunComparison:
    """Compare two runs that are read already, on the samples of both; the intervals of their conditions hold together.

    Raises:
        ParameterError: the runs are on different data or share no sample, or one has no labels.
    """
    _check_comparable(baseline, before, old, candidate, after, new)
    places = {old.conditions[j].id: j for j in (0, *old.natural, *old.attacks, *old.aside)}
    own = sorted([0, *new.natural, *new.attacks, *new.aside])
    both = [j for j in own if new.conditions[j].id in places]
    differing = _made_otherwise(before, old, after, new, {j: places[new.conditions[j].id] for j in both})
    shared = [j for j in both if j not in differing]
    pairs = [(places[new.conditions[j].id], j) for j in shared]
    try:
        values, slices = (
            _paired_tasks(after.task, (baseline, old), (candidate, new), shared)
            if after.task in TASK_FIGURES
            else _paired_samples((baseline, old), (candidate, new), pairs)
        )
    except ParameterError as error:
        raise ParameterError(f"{baseline} and {candidate}, {error}") from None
    paired = simultaneous({new.conditions[j].id: comparison for j, (_, _, comparison) in values.items()})
    together = simultaneous({key: comparison for key, (_, _, comparison) in slices.items()})
    known = {new.conditions[j].id for j in own}
    names = distinct_names([(baseline.path, before.model_name), (candidate.path, after.model_name)])
    return RunComparison(
        baseline=str(baseline),
        candidate=str(candidate),
        baseline_name=names[0],
        candidate_name=names[1],
        n=paired["clean"].n,
        conditions=tuple(
            ConditionComparison(new.conditions[j], first, second, paired[new.conditions[j].id])
            for j, (first, second, _) in values.items()
        ),
        only_baseline=tuple(c for c in places if c not in known),
        only_candidate=tuple(c for j in own if (c := new.conditions[j].id) not in places),
        notes=(*_sample_notes(((baseline, old), (candidate, new)), paired), *_notes(before, after, new, differing)),
        measure=TASK_FIGURES[after.task].title if after.task in TASK_FIGURES else "accuracy",
        slices=tuple(
            SliceComparison(new.conditions[j], first, second, together[slicing, part, j], slicing, part)
            for (slicing, part, j), (first, second, _) in slices.items()
        ),
    )


def distinct_names(runs: Sequence[tuple[str, str]]) -> list[str]:
    """Names of runs that differ where their paths do.

    >>> distinct_names([("runs/a", "net"), ("runs/b", "net"), ("runs/c", "other")])
    ['net (a)', 'net (b)', 'other']

    Args:
        runs: path and model of each; those with the same model get as much of the end of their path as is needed.
    """
    found = list[str]()
    for path, name in runs:
        parts = path.rstrip("/").split("/")
        others = [other.rstrip("/").split("/") for other, same in runs if same == name and other != path]
        kept = next((k for k in range(1, len(parts) + 1) if all(o[-k:] != parts[-k:] for o in others)), len(parts))
        found.append(f"{name} ({'/'.join(parts[-kept:])})" if others else name)
    return found


def _check_comparable(
    baseline: RunDir, before: RunConfig, old: Frame, candidate: RunDir, after: RunConfig, new: Frame
) -> None:
    """Refuse runs of different tasks, data or labels, and runs without labels."""
    if before.task != after.task:
        raise ParameterError(
            f"{baseline} is a run of {before.task} and {candidate} one of {after.task}: they have no figure in common"
        )
    for where, frame in ((baseline, old), (candidate, new)):
        if not frame.labelled and after.task == "classification":
            raise ParameterError(f"{where}: the samples have no labels, so it cannot be said which run is better")
    if before.data_fingerprint == after.data_fingerprint:
        return
    versions = [config.labels_version or "as given" for config in (before, after)]
    if versions[0] != versions[1]:
        raise ParameterError(
            f"{baseline} and {candidate} used other labels ({versions[0]} and {versions[1]}); audit both on one "
            "version, or compare versions by 'unshaken labels compare'"
        )
    raise ParameterError(
        f"{baseline} and {candidate} are not on the same data (fingerprints {before.data_fingerprint[:12]} and "
        f"{after.data_fingerprint[:12]}); run both on one data set"
    )


def _made_otherwise(
    before: RunConfig, old: Frame, after: RunConfig, new: Frame, places: Mapping[int, int]
) -> dict[int, str]:
    """Names of the conditions that the two runs made with other parameters, by their place in the second.

    `places` maps the place of a condition in the second run to that in the first.
    """
    made_before, made_after = read_methods(before).made_by, read_methods(after).made_by
    return {
        j: new.conditions[j].id
        for j, place in places.items()
        if made_before(new.conditions[j].id) != made_after(new.conditions[j].id)
        or new.conditions[j] != old.conditions[place]
    }


def _sample_notes(runs: Sequence[tuple[RunDir, Frame]], paired: Mapping[str, Comparison]) -> list[str]:
    """Which samples are left out, where the two runs do not have the same ones under every condition."""
    n, sizes, notes = paired["clean"].n, [len(frame.ids) for _, frame in runs], list[str]()
    if sizes != [n, n]:
        notes.append(f"compared on the {cells.counted(n, 'sample')} of both runs, of {sizes[0]} and {sizes[1]}")
    for run, frame in runs:
        lacking = {c: k for c, k in frame.lacking().items() if c in paired}
        notes += [f"{run} lacks rows of {cells.counted(k, 'sample')} under {c}, left out: finish it with --resume"
                  for c, k in lacking.items()]  # fmt: skip
    return notes


def _notes(before: RunConfig, after: RunConfig, new: Frame, differing: Mapping[int, str]) -> list[str]:
    notes = [f"{c}: made with other parameters in the two runs, so not compared" for c in differing.values()]
    if before.seed != after.seed:
        notes.append(f"the seeds differ ({before.seed} and {after.seed}): random changes are other draws")
    if len(before.classes) != len(after.classes):
        counts = f"{len(before.classes):,} and {len(after.classes):,}"
        notes.append(f"the runs are scored among {counts} classes: among fewer there is less to take a sample for")
    ways = [config.labels.by for config in (before, after) if config.labels is not None]
    if len(set(ways)) > 1:
        notes.append(f"classes of the data were taken by {ways[0]} in one run and by {ways[1]} in the other")
    if proven := [c.id for c in new.conditions if c.id in new.certified]:
        notes.append(f"{', '.join(proven)}: certified accuracy is compared, at the radius of the condition")
    return notes + [
        f"{new.conditions[j].id}: holds nearest examples, which have no accuracy to pair; see minimal_norms of each run"
        for j in new.nearest
    ]


Rows = NDArray[np.int64] | slice


def _shared_samples(old: Frame, new: Frame) -> tuple[Rows, Rows]:
    """The rows of the samples that both frames have, in the same order."""
    if old.ids == new.ids:
        return slice(None), slice(None)
    at = old.ids.places(new.ids)
    return at[at >= 0], np.flatnonzero(at >= 0)


def _paired_accuracy(
    a: NDArray[np.int8], b: NDArray[np.int8], frames: tuple[Frame, Frame]
) -> tuple[Figure, Figure, Comparison]:
    """Both accuracies under one condition on the samples that have a row in both, and what changed.

    Args:
        a: whether the first run is right on each shared sample, -1 without a row.
        b: the same of the second.
        frames: of the runs.
    """
    both = (a >= 0) & (b >= 0)
    if not both.any():
        raise ParameterError(f"no sample is in both runs, of {len(frames[0].ids)} and {len(frames[1].ids)}")
    first, second = a[both] == 1, b[both] == 1
    return accuracy(first), accuracy(second), compare(first, second)


Paired = tuple[dict[int, Pair], dict[tuple[str, str, int], Pair]]
"""Both figures and what changed, by the place of the condition in the second run; and by slice, part and that place."""


def _paired_samples(
    before: tuple[RunDir, Frame], after: tuple[RunDir, Frame], shared: Sequence[tuple[int, int]]
) -> Paired:
    """Both accuracies under the conditions of both runs, of all samples and in every slice.

    Args:
        before: the first run and its outcomes.
        after: the second.
        shared: the places of each condition of both, in each.
    """
    (_, old), (_, new) = before, after
    rows = _shared_samples(old, new)
    whole: dict[int, Pair] = {}
    for i, j in shared:
        try:
            whole[j] = _paired_accuracy(old.right[rows[0], i], new.right[rows[1], j], (old, new))
        except ParameterError as error:
            raise ParameterError(f"{new.conditions[j].id}: {error}") from None
    found: dict[tuple[str, str, int], Pair] = {}
    side, slicings = _common_slicings(before, after)
    for one in slicings:
        codes = one.codes[rows[side]]
        if len(np.unique(codes[codes >= 0])) < 2:  # one slice is all images
            continue
        for k, part in enumerate(one.parts):
            for i, j in shared:
                a, b = old.right[rows[0], i][codes == k], new.right[rows[1], j][codes == k]
                if ((a >= 0) & (b >= 0)).any():
                    found[one.name, part, j] = _paired_accuracy(a, b, (old, new))
    return whole, found


def _paired_tasks(
    task: str, before: tuple[RunDir, Frame], after: tuple[RunDir, Frame], shared: Sequence[int]
) -> Paired:
    """The same of a figure such as mAP; `shared` are the places of the conditions of both in the second run."""
    side, slicings = _common_slicings(before, after)
    ids = np.array(list((before, after)[side][1].ids), object)
    groups = {
        (one.name, part): set(ids[one.codes == k].tolist())
        for one in slicings
        if len(np.unique(one.codes[one.codes >= 0])) > 1
        for k, part in enumerate(one.parts)
    }
    whole, found = dict[int, Pair](), dict[tuple[str, str, int], Pair]()
    for j in shared:
        name = after[1].conditions[j].id
        try:
            whole[j], own = paired_figures(task, before, after, name, groups)
        except ParameterError as error:
            raise ParameterError(f"{name}: {error}") from None
        found |= {(slicing, part, j): pair for (slicing, part), pair in own.items()}
    return whole, found


def _common_slicings(before: tuple[RunDir, Frame], after: tuple[RunDir, Frame]) -> tuple[int, list[Slicing]]:
    """Which of two runs has the slices, 1 for the second, else 0; and these."""
    slicings = read_slices(*after)
    return (1, slicings) if slicings else (0, read_slices(*before))


def companion_runs(run: RunDir, config: RunConfig) -> list[RunDir]:
    """The runs that reports show side by side with this one; their places are relative to it."""
    scheme, mark, path = run.path.rpartition("://")
    return [RunDir(scheme + mark + posixpath.normpath(posixpath.join(path, place))) for place in config.beside]
