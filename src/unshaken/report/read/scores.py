"""The rows of `scores` of a run and of the runs inside it, as one column of numbers for each detector and set."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unshaken.core.errors import UnshakenError
from unshaken.core.values import split_items
from unshaken.report.read.frame import read_frame
from unshaken.store.config import UNFINISHED, RunConfig, read_config
from unshaken.store.run_dir import RunDir

NORMAL = "normal"
"""The split of a run's own samples, unchanged."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scores of one set of samples by one detector, in the order of their ids.

    Args:
        place: the run that has the rows.
        condition: they belong to.
        ids: strings `[N]`.
        score: float64 `[N]`, higher is more abnormal; NaN where there is none.
        accepted: bool `[N]`.
        label: int64 `[N]`, -1 where a sample has none.
        prediction: int64 `[N]`, the model's own.
        forwards: int64 `[N]`, passes beyond the one that all detectors share.
        backwards: as `forwards`.
        seconds: float64 `[N]`, a sample's share of the time, the shared pass left out.
        errors: sample to the reason why it has no score.
    """

    place: RunDir
    condition: str
    ids: NDArray[Any]
    score: Numbers
    accepted: NDArray[np.bool_]
    label: NDArray[np.int64]
    prediction: NDArray[np.int64]
    forwards: NDArray[np.int64]
    backwards: NDArray[np.int64]
    seconds: Numbers
    errors: Mapping[str, str]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which samples have a score."""
        return np.asarray(np.isfinite(self.score))

    @property
    def values(self) -> Numbers:
        """The scores that are numbers."""
        return self.score[self.known]


@dataclass(frozen=True, slots=True, eq=False)
class EvasionOutcome:
    """One detector at the examples of one attack.

    Args:
        detector: its label.
        kind: `naive` or `adaptive`.
        norm: of the budget.
        eps: the budget.
        past: bool `[N]`: a wrong class, and accepted.
        wrong: bool `[N]`: a wrong class of the model, accepted or not.
    """

    detector: str
    kind: str
    norm: str
    eps: float
    past: NDArray[np.bool_]
    wrong: NDArray[np.bool_]


@dataclass(slots=True, eq=False)
class RunScores:
    """The scores of a run and of the runs inside it.

    Args:
        sets: detector to split to scores; the detectors in the order of the plan, `normal` first.
        attacks: what became of the examples.
        accept: least share of normal samples to be accepted, by detector.
        notes: place inside the run to what lacks there.
        whole: every inside run is there and finished.
    """

    sets: dict[str, dict[str, Scores]] = field(default_factory=dict)
    attacks: list[EvasionOutcome] = field(default_factory=list)
    accept: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    whole: bool = True


def read_scores(run: RunDir, config: RunConfig) -> RunScores:
    """The scores of a run and of those inside it; the notes name an inside run that is absent or damaged.

    Args:
        run: the main one.
        config: its.

    Raises:
        RunError: a file of the main run is damaged.
    """
    found = RunScores()
    asked = list[str]()
    for entry in config.plan:
        given = entry.params.get("detectors", ())
        labels = split_items(given) if isinstance(given, str) else tuple(given)  # a plan of one's own may have text
        found.accept |= dict.fromkeys(labels, float(entry.params.get("accept", 0.95)))
        asked += labels
    _add(found, run)
    for place in config.inside:
        try:
            there = inside(run, place)
            own = read_config(there)
            frame = read_frame(there, own)
            _add(found, there)
        except UnshakenError as error:
            found.notes[place], found.whole = f"left out: {error}", False
            continue
        unscored = {c for c, _ in there.finished() - there.finished("scores")} - {"clean"}
        lacking = frame.unfinished + sum(frame.lacking().values()) or unscored or there.exists(UNFINISHED)
        if lacking:
            found.notes[place] = "not finished: figures are of what is there; finish it with --resume"
            found.whole = False
        elif frame.bad:
            found.notes[place] = f"left out, as unusable: {len(frame.bad)} of the samples"
    order = {label: i for i, label in enumerate(asked)}
    found.sets = {k: found.sets[k] for k in sorted(found.sets, key=lambda k: order.get(k, len(order)))}
    return found


def inside(run: RunDir, place: str) -> RunDir:
    """Give the run in a folder of another run."""
    scheme, mark, path = run.path.rpartition("://")
    return RunDir(scheme + mark + posixpath.join(path, place))


def _add(found: RunScores, run: RunDir) -> None:
    if not run.names("rows", "scores", suffix=".parquet"):
        return
    table = run.rows("scores")
    attacked = pc.equal(table["method"], "evasion")
    for (label, split), part in _parts(table.filter(pc.invert(attacked)), ["detector", "split"]):
        found.sets.setdefault(label, {})[split] = _scores(run, part)
    examples = table.filter(attacked)
    if not len(examples):
        return
    outcomes = run.rows("outcomes", ["id", "condition", "eps", "norm", "correct", "error"])
    by_condition = dict(_parts(outcomes.filter(pc.is_null(outcomes["error"])), ["condition"]))
    for (condition, label, split), part in _parts(examples, ["condition", "detector", "split"]):
        judged = by_condition.get((condition,))
        if judged is None:
            continue
        right = dict(zip(judged["id"].to_pylist(), judged["correct"].to_pylist(), strict=True))
        both = [i for i in part["id"].to_pylist() if right.get(i) is not None]
        rows = part.filter(pc.is_in(part["id"], value_set=pa.array(both, pa.string())))
        wrong = rows["prediction"].to_numpy() != rows["label"].to_numpy()
        first = judged.slice(0, 1).to_pylist()[0]
        past = np.array([not right[i] for i in both], bool)
        kind = split.partition("/")[0]
        found.attacks.append(EvasionOutcome(label, kind, first["norm"], first["eps"], past, np.asarray(wrong, bool)))


def _parts(table: pa.Table, keys: list[str]) -> list[tuple[Any, pa.Table]]:
    """The rows by the values of some columns, in the order of their first appearance."""
    columns = [table[k].to_pylist() for k in keys]
    groups: dict[Any, list[int]] = {}
    for i, key in enumerate(zip(*columns, strict=True)):
        groups.setdefault(key, []).append(i)
    return [(key, table.take(pa.array(rows, pa.int64()))) for key, rows in groups.items()]


def _scores(run: RunDir, rows: pa.Table) -> Scores:
    rows = rows.sort_by("id")

    def filled(name: str, absent: Any, kind: Any) -> NDArray[Any]:
        column = rows[name].fill_null(pa.scalar(absent, rows[name].type))
        return np.asarray(column.to_numpy(), kind)

    score = filled("score", np.nan, np.float64)
    score = np.where(np.isfinite(score), score, np.nan)
    ids, reasons = rows["id"].to_pylist(), rows["error"].to_pylist()
    gone = {i: r or "there is no score" for i, r, ok in zip(ids, reasons, np.isfinite(score), strict=True) if not ok}
    return Scores(
        place=run,
        condition=rows["condition"][0].as_py(),
        ids=np.array(ids),
        score=score,
        accepted=filled("accepted", False, np.bool_),
        label=filled("label", -1, np.int64),
        prediction=filled("prediction", -1, np.int64),
        forwards=filled("forwards", 0, np.int64),
        backwards=filled("backwards", 0, np.int64),
        seconds=filled("seconds", 0.0, np.float64),
        errors=gone,
    )
