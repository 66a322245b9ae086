"""`prediction-sets`: sets of classes with a promised coverage, and what corruptions and attacks leave of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field
from scipy import special
from typing_extensions import override

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.part import CLEAN
from unshaken.core.registry import find_method, register
from unshaken.core.rng import SampleRng
from unshaken.core.tables import declare_table
from unshaken.data import DataSource
from unshaken.measure import Figure, Threshold, conformal_threshold, paired_difference
from unshaken.measure.prediction_sets import Score, group_thresholds, own_scores, set_figures, set_scores
from unshaken.measure.statistics.columns import Flags, Numbers
from unshaken.tasks.evaluation import Evaluation, EvaluationFindings, EvaluationSubject, Listing
from unshaken.tasks.zero_shot.record import beneath
from unshaken.tasks.zero_shot.rows import Outcomes, read_outcomes

PREDICTION_SETS = declare_table(
    "prediction_sets",
    "id string, condition string, method string, label int64, classes string, size int64, covered bool, correct bool",
)
"""An image a row under each condition: the classes of its set, such as `0 3`, and whether the label is one of them."""
_FEWEST = 20
"""Images at least, for calibration and for judging."""


@register("prediction-sets", reference="Angelopoulos & Bates 2023, arXiv:2107.07511")
class PredictionSets(Evaluation):
    """Sets of classes that hold the label with a promised probability, calibrated on clean images of their own.

    The promise is for images of the calibration images' source. The same thresholds are then tried under each
    condition of a plan, which shows what a shift costs. Subclass it and write `scores` for a score of your own.
    """

    title: ClassVar[str] = "Do prediction sets keep their promise?"
    measures: ClassVar[tuple[str, ...]] = ("coverage", "set_size", "single", "empty", "coverage_loss")

    score: Score = Field(default="aps", description="how badly a class fits: lac, aps, raps")
    coverage: float = Field(default=0.9, gt=0, lt=1, description="promised share of sets that hold the label")
    by: Literal["all", "class"] = Field(default="all", description="keep the promise on average, or in each class")
    random: bool = Field(default=True, description="randomise aps and raps by sample: smaller sets, exact coverage")
    penalty: float = Field(default=0.01, ge=0, description="penalty of raps for each rank beyond free")
    free: int = Field(default=5, ge=0, description="ranks without a penalty, of raps")
    calibration: str = Field(default="", description="data SPEC to calibrate on; default a share of the data")
    share: float = Field(
        default=0.5, gt=0, lt=1, description="share of the data to calibrate on, where calibration is not given"
    )
    plan: str = Field(
        default="", description="corruptions and attacks, as for audit: a plan by name or a YAML file; default none"
    )

    @property
    @override
    def further_data(self) -> tuple[str, ...]:
        return (self.calibration,) if self.calibration else ()

    @property
    @override
    def further_files(self) -> tuple[str, ...]:
        return (self.plan,) if self.plan.endswith((".yaml", ".yml")) else ()

    @override
    def check(self, subject: EvaluationSubject) -> None:
        for entry in subject.verbs.load_plan(self.plan) if self.plan else ():
            room = find_method(entry.method).room
            if room not in ("stress", "attack"):
                raise ParameterError(
                    f"prediction-sets: plan {self.plan!r} has {entry.method!r} of {room}: name corruptions and attacks"
                )

    def scores(self, logits: Numbers, draws: Numbers) -> Numbers:
        """Nonconformity scores of every class, float64 `[N, K]`; see `unshaken.measure.set_scores`.

        Args:
            logits: float64 `[N, K]`.
            draws: uniform in [0, 1), one a sample, `[N]`.
        """
        probabilities = special.softmax(logits, axis=1)
        return set_scores(
            probabilities, self.score, draws=draws if self.random else None, penalty=self.penalty, free=self.free
        )

    @override
    def judge(self, subject: EvaluationSubject) -> EvaluationFindings:
        audit = beneath(subject.run, "audit")
        summary = _audit(subject, "audit", subject.dataset, self.plan or [])
        clean = self._labelled(read_outcomes(audit))
        if self.calibration:
            other = subject.with_data(self.calibration)
            _audit(subject, "calibration", other.dataset, [])
            fitted, judged = self._labelled(read_outcomes(beneath(subject.run, "calibration"))), set(clean.ids)
        else:
            chosen: Flags = self._draws(subject.seed, clean.ids, "share") < self.share
            fitted, judged = clean.only(chosen), set(clean.only(~chosen).ids)
        if min(len(fitted.ids), len(judged)) < _FEWEST:
            raise DataError(
                f"prediction-sets: {len(fitted.ids)} images to calibrate on and {len(judged)} to judge: give {_FEWEST} "
                "of each at least"
            )
        thresholds = self._thresholds(fitted, subject.seed)
        rows = dict[str, pa.Table]()
        for condition in dict.fromkeys([CLEAN.id, *(one["condition"] for one in summary["conditions"])]):
            found = read_outcomes(audit, condition)
            if found is None:
                continue
            kept = found.only(np.array([i in judged for i in found.ids]))
            if kept.ids:
                rows[condition] = subject.rows(
                    "prediction_sets", condition, partial(self._rows, kept, thresholds, subject.seed)
                )
        return self._findings(rows, thresholds, fitted)

    def _labelled(self, found: Outcomes | None) -> Outcomes:
        if found is None:
            raise DataError("prediction-sets: no labelled image gave finite logits: check model and data")
        return found

    def _draws(self, seed: int, ids: Sequence[str], use: str) -> Numbers:
        return SampleRng.of(seed, "prediction-sets", ids).fold(use).uniform().double().numpy()

    def _scores(self, found: Outcomes, seed: int) -> Numbers:
        return self.scores(found.logits, self._draws(seed, found.ids, "set"))

    def _thresholds(self, fitted: Outcomes, seed: int) -> list[Threshold]:
        """The threshold of each class, which is the same one for all unless the promise is by class."""
        own, classes = own_scores(self._scores(fitted, seed), fitted.labels), fitted.logits.shape[1]
        common = conformal_threshold(own, self.coverage)
        if self.by == "all":
            return [common] * classes
        found = group_thresholds(own, fitted.labels.tolist(), self.coverage)
        nothing = Threshold(np.inf, self.coverage, None, 0, 1, common.needed)  # a class without a calibration image
        return [found.get(k, nothing) for k in range(classes)]

    def _rows(self, found: Outcomes, thresholds: Sequence[Threshold], seed: int) -> Mapping[str, Sequence[Any]]:
        sets = self._scores(found, seed) <= np.array([t.value for t in thresholds])
        return {
            "id": list(found.ids), "label": found.labels.tolist(),
            "classes": [" ".join(map(str, np.flatnonzero(s))) for s in sets],
            "size": sets.sum(1).tolist(), "covered": sets[np.arange(len(sets)), found.labels].tolist(),
            "correct": found.correct.tolist(),
        }  # fmt: skip

    def _findings(
        self, rows: Mapping[str, pa.Table], thresholds: Sequence[Threshold], fitted: Outcomes
    ) -> EvaluationFindings:
        figures, lines = dict[str, Figure](), list[tuple[str | float | Figure | None, ...]]()
        clean = dict(zip(*(rows[CLEAN.id][name].to_pylist() for name in ("id", "covered")), strict=True))
        for condition, table in rows.items():
            sets = np.zeros((len(table), len(thresholds)), np.bool_)
            for row, classes in zip(sets, table["classes"].to_pylist(), strict=True):
                row[[int(k) for k in classes.split()]] = True
            found = set_figures(sets, table["label"].to_numpy())
            figures |= {f"{name}_{condition}": one for name, one in found.items()}
            lost = None
            if condition != CLEAN.id:
                before = np.array([clean[i] for i in table["id"].to_pylist()], np.float64)
                after = table["covered"].to_numpy(zero_copy_only=False).astype(np.float64)
                lost = figures[f"coverage_loss_{condition}"] = paired_difference(after, before, low=-1.0, high=1.0)
            lines.append((condition, found["coverage"], lost, found["set_size"], found["single"], found["empty"]))
        columns = ("condition", "coverage", "lost", "mean size", "one class", "no class")
        return EvaluationFindings(
            rows={}, figures=figures, answer=self._answer(figures, rows, len(fitted.ids)),
            listings=(Listing("Prediction sets, with thresholds of the clean images.", columns, tuple(lines)),),
            remarks=self._remarks(thresholds), extra={
                "calibrated_on": len(fitted.ids),
                "thresholds": [t.value if np.isfinite(t.value) else None for t in thresholds],
            },
        )  # fmt: skip

    def _answer(self, figures: Mapping[str, Figure], rows: Mapping[str, pa.Table], n: int) -> tuple[str, ...]:
        found, size = figures[f"coverage_{CLEAN.id}"], figures[f"set_size_{CLEAN.id}"]
        each = "of each class " if self.by == "class" else ""
        answer = [
            f"A set holds the label of a new image {each}with probability {self.coverage:g} or more, over calibration "
            f"and new images, as long as it comes from the source of the {n:,} calibration images.",
            f"On {found.n:,} other images {_shown(found)} of the sets hold the label; they have {size.value:.2f} "
            f"classes on average ({size.low:.2f} to {size.high:.2f}).",
        ]
        shifted = [c for c in rows if c != CLEAN.id]
        if shifted:
            worst = min(shifted, key=lambda c: figures[f"coverage_{c}"].value)
            below = [c for c in shifted if figures[f"coverage_{c}"].high < self.coverage]
            answer.append(
                f"Under {worst} it is {_shown(figures[f'coverage_{worst}'])}; under {len(below)} of {len(shifted)} "
                "conditions the whole interval lies below the promise."
            )
        return tuple(answer)

    def _remarks(self, thresholds: Sequence[Threshold]) -> tuple[str, ...]:
        open_ended = sum(not np.isfinite(t.value) for t in thresholds)
        if not open_ended:
            return ()
        return (
            f"{open_ended} of {len(thresholds)} classes have fewer than {thresholds[0].needed} calibration images, too "
            "few for the promise: they are in every set",
        )


def _shown(figure: Figure) -> str:
    return f"{100 * figure.value:.1f} % ({100 * figure.low:.1f} to {100 * figure.high:.1f} %)"


def _audit(subject: EvaluationSubject, name: str, data: DataSource | None, plan: str | list[Any]) -> dict[str, Any]:
    """Audit the model in a folder of the run, or go on with what is there; its summary."""
    if data is None:
        raise DataError("prediction-sets: it needs labelled images: give data")
    place, o = beneath(subject.run, name), subject.options
    result = subject.verbs.audit(
        subject.model, data, plan, out=place.path, resume=place.exists("run.json"), limit=o["limit"],
        seed=subject.seed, device=o["device"], batch_size=o["batch_size"], workers=o["workers"],
    )  # fmt: skip
    summary: dict[str, Any] = result.summary
    subject.bad.update({sample["id"]: sample["reason"] for sample in summary["bad_samples"]})
    return summary
