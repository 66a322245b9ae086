"""`own_figure`: the figure that a kind of run is made for, in a few words for the list."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unshaken.core.texts import printable
from unshaken.report.wording import percent

F = TypeVar("F", bound=BaseModel)
LONGEST_NAME = 60


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class _Figure(_Lenient):
    value: float
    low: float
    high: float


class _Detector(_Lenient):
    condition: str
    auroc: _Figure | None = None
    accepted: _Figure | None = None


class _Radius(_Lenient):
    radius: float
    certified_accuracy: _Figure | None = None


class _Certificate(_Lenient):
    norm: str
    radii: list[_Radius]


class _Start(_Lenient):
    held_accuracy: float | None = None
    held_robust: float | None = None


class _Training(_Lenient):
    figures: dict[str, _Figure | None]
    start: _Start | None = None


class _Suspects(_Lenient):
    flagged: int = Field(ge=0)


class _Labels(_Lenient):
    samples: int = Field(gt=0)
    found: dict[str, _Suspects]


def own_figure(kind: str, record: dict[str, Any]) -> str:
    """The figure of a run with its 95 % interval; empty for a kind without one of its own, or where it is not there.

    Args:
        kind: of the run.
        record: the run's `summary.json`, or the record of a kind without a summary; of a stranger.
    """
    readers = {"detect": _of_detectors, "certify": _of_certificates, "harden": _of_training, "labels": _of_labels}
    return readers[kind](record) if kind in readers else ""


def _of_detectors(record: dict[str, Any]) -> str:
    known = _all(_Detector, record.get("detection"))
    ranked = [(one.auroc, one) for one in known if one.auroc is not None]
    if ranked:
        area, best = max(ranked, key=lambda pair: pair[0].value)
        return f"AUROC {area.value:.3f} ({area.low:.3f} to {area.high:.3f}), {_name(best.condition)}"
    return next((f"accepted {_share(one.accepted)}, {_name(one.condition)}" for one in known if one.accepted), "")


def _of_certificates(record: dict[str, Any]) -> str:
    """At the smallest radius above 0 that has a figure."""
    for one in _all(_Certificate, record.get("certified")):
        for at in sorted(one.radii, key=lambda at: at.radius):
            if at.radius > 0 and at.certified_accuracy is not None:
                return f"certified at {_name(one.norm)} {at.radius:g}: {_share(at.certified_accuracy)}"
    return ""


def _of_training(record: dict[str, Any]) -> str:
    for done in _all(_Training, [record.get("result")]):
        for name, words in (("held_robust", "held out, attacked"), ("held_accuracy", "held out")):
            if (figure := done.figures.get(name)) is not None:
                before = getattr(done.start, name, None)
                start = "" if before is None else f"; {percent(before)} at the start"
                return f"{words}: {_share(figure)}{start}"
    return ""


def _of_labels(record: dict[str, Any]) -> str:
    """Of the method that decides what is reviewed: the first."""
    for done in _all(_Labels, [record]):
        for one in done.found.values():
            return f"{percent(one.flagged / done.samples)} of the labels flagged ({one.flagged:,} of {done.samples:,})"
    return ""


def _all(model: type[F], rows: Any) -> list[F]:
    """The rows that are of a form."""
    found = []
    for row in rows if isinstance(rows, list) else ():
        try:
            found.append(model.model_validate(row))
        except (ValidationError, RecursionError):
            continue
    return found


def _share(figure: _Figure) -> str:
    return f"{percent(figure.value)} ({100 * figure.low:.1f} to {percent(figure.high)})"


def _name(text: str) -> str:
    return printable(text[:LONGEST_NAME])
