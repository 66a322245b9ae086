"""`ConditionComparison`, `RunComparison` and `Comparisons`: what is known of runs side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unshaken.core.part import Condition
from unshaken.measure import Comparison, Figure
from unshaken.report.effective import RobustnessGroup


@dataclass(frozen=True, slots=True)
class ConditionComparison:
    """One condition under two models.

    Args:
        condition: what was done to the images.
        baseline: accuracy there.
        candidate: accuracy here.
        paired: what changed, sample by sample; p-values corrected for all conditions and candidates compared.
    """

    condition: Condition
    baseline: Figure
    candidate: Figure
    paired: Comparison

    @property
    def verdict(self) -> str:
        """`better`, `worse` or `no significant difference`, at 0.05 after correction."""
        if self.paired.regressed():
            return "worse"
        return "better" if self.paired.improved() else "no significant difference"


@dataclass(frozen=True, slots=True)
class RunComparison:
    """A candidate against a baseline, on the samples of both.

    Args:
        baseline: where the baseline lies.
        candidate: where the candidate lies.
        baseline_name: its model.
        candidate_name: its model.
        n: samples.
        conditions: those that both have, in the candidate's order, `clean` first.
        only_baseline: conditions that the candidate lacks.
        only_candidate: conditions that the baseline lacks.
        notes: what a reader should know, such as another seed.
        measure: what is compared.
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

    @property
    def test(self) -> str:
        """The test behind the p-values, in words."""
        return "McNemar's exact test" if self.measure == "accuracy" else "the spread of paired resamples of the images"

    def count(self, verdict: str) -> int:
        """How many conditions have a verdict."""
        return sum(c.verdict == verdict for c in self.conditions)

    @property
    def verdicts(self) -> str:
        """How many conditions became better, worse, or neither, in words."""
        better, worse, level = (self.count(v) for v in ("better", "worse", "no significant difference"))
        n = len(self.conditions)
        return (
            f"better under {better}, worse under {worse}, not significantly different under {level} of {n} conditions"
        )

    def to_json(self) -> dict[str, Any]:
        """As in `summary.json` and `compare.json`."""
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
                    "baseline": c.baseline.to_json(),
                    "candidate": c.candidate.to_json(),
                    "difference": c.paired.difference.to_json(),
                    "lost": c.paired.lost,
                    "gained": c.paired.gained,
                    "p_value": c.paired.p_value,
                    "p_holm": c.paired.p_holm,
                    "family": c.paired.family,
                    "verdict": c.verdict,
                }
                for c in self.conditions
            ],
            "only_baseline": list(self.only_baseline),
            "only_candidate": list(self.only_candidate),
            "notes": list(self.notes),
            "measure": self.measure,
        }


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Several runs, each against the first.

    Args:
        runs: one for each candidate; the p-values of all are corrected together.
        robustness: of detectors, what they have beyond a line; see `effective_robustness`.
    """

    runs: tuple[RunComparison, ...]
    robustness: tuple[RobustnessGroup, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As in `compare.json`."""
        return {
            "schema": 1,
            "comparisons": [r.to_json() for r in self.runs],
            "effective_robustness": [group.to_json() for group in self.robustness],
        }
