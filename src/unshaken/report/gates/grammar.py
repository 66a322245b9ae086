"""Gates: conditions on figures, read by a small grammar and never evaluated as code.

gate      = "no-regression" | reference comparison number
reference = name [ "[" key "=" value { "," key "=" value } "]" ] { "." word }
name      = "clean" | "slice" | an aggregate | a method | a line of the plan | a condition
key       = "severity" | "eps" | "norm" | "radius" | "group" | "set" | of slices: a column | "condition"
word      = "accuracy" | "consistency" | a figure of certificates, of nearest examples, of a detector or of slices | end
end       = "value" | "low" | "high"
comparison = ">=" | "<=" | ">" | "<" | "=="
number    = a number or a fraction such as 8/255
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.numbers import parse_number

NO_REGRESSION = "no-regression"
OF_SETS = ("auroc", "fpr95_id_accept", "fpr95_ood_recall", "detection_accuracy", "flagged")
OF_ATTACKS = ("naive", "adaptive")
_OF_ALL = ("accepted", "mean_auroc")
DETECTOR = (*OF_SETS, *OF_ATTACKS, *_OF_ALL)
"""Figures of detectors: of each set of abnormal images, of each attack, and of the detector as a whole."""
CHOSEN_BY = ("group", "set", "norm", "eps")
"""What figures of detectors are chosen by: sets by `group` and `set`, attacks by `norm` and `eps`."""
CERTIFIED = ("certified_accuracy", "certified_share")
"""Figures of certificates at a radius: right and certified; certified whatever the label."""
NEAREST = ("median", "median_of_broken", "mean_of_broken", "success")
"""Figures of attacks that look for the nearest example."""
OF_TASKS = {"objects": ("map", "ap50"), "segmentation": ("miou", "boundary_iou")}
"""Figures of other tasks than classification, by the part of a summary that holds those of unchanged images."""
NON_FINITE = "non_finite"
"""Share of the samples for which the model gave NaN or infinite values; a gate on it says how many are allowed."""
SLICE = "slice"
"""Name of the gates on slices."""
OF_SLICES = ("ece", "brier", "aurc", "accuracy_at_80")
"""Figures of the confidence in a slice, on unchanged images, beside its accuracy."""
TASK_SLICES = ("map", "miou")
"""Figures of a slice of other tasks than classification."""
_METRICS = (
    "accuracy",
    "consistency",
    *(m for names in OF_TASKS.values() for m in names),
    *CERTIFIED,
    *NEAREST,
    *DETECTOR,
    *OF_SLICES,
)
_ENDS = ("value", "low", "high")
_KEYS = ("severity", "eps", "norm")
_WORDS = ("norm", "group", "set")
"""The keys whose values are words."""
_LONGEST = 300
_GATE = re.compile(
    r"\s*(?P<left>[^<>=\[\]]+(?:\[[^\[\]<>]*\])?[^<>=\[\]]*?)\s*(?P<sign>>=|<=|==|>|<)\s*(?P<number>\S+)\s*"
)
_REFERENCE = re.compile(
    r"(?P<name>[A-Za-z_][A-Za-z0-9_+-]*(?:\.\d+)?)(?:\[(?P<selection>[^\]]*)\])?(?P<words>(?:\.[A-Za-z_0-9]+)*)"
)


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition on a figure of a summary.

    Args:
        text: as written.
        name: what it is about; `no-regression` for the comparison with a baseline.
        selection: `severity`, `eps` and `norm` that a condition must have, `radius` of a certificate, `group` and
            `set` of abnormal images.
        metric: `accuracy`, `consistency`, of a detector of objects `map` or `ap50`, of pixels `miou` or
            `boundary_iou`, of certificates `certified_accuracy` or `certified_share`, of nearest examples `median`,
            `median_of_broken`, `mean_of_broken` or `success`, of a slice one of `OF_SLICES`, or of a detector one of
            `DETECTOR`.
        end: `value`, or the interval's `low` or `high`.
        sign: `>=`, `<=`, `>`, `<` or `==`.
        number: what to compare with.
    """

    text: str
    name: str
    selection: tuple[tuple[str, str | float], ...] = ()
    metric: str = "accuracy"
    end: str = "value"
    sign: str = ">="
    number: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Gate:
        """Read a gate from its text.

        Raises:
            ParameterError: it does not follow the grammar.
        """
        shown = shown_gate(text)
        if text.strip() == NO_REGRESSION:
            return cls(text.strip(), NO_REGRESSION)
        whole = _GATE.fullmatch(text) if len(text) <= _LONGEST else None
        parts = whole and _REFERENCE.fullmatch(whole["left"].strip())
        if whole is None or parts is None:
            raise ParameterError(
                f"gate {shown} is not understood: write NAME[key=value].accuracy >= NUMBER, such as "
                f"'clean.accuracy >= 0.90' or 'pgd[eps=8/255].accuracy.low >= 0.3', or {NO_REGRESSION!r}"
            )
        metric, end = _words(shown, parts["words"])
        number = parse_number(whole["number"], f"gate {shown}")
        if not math.isfinite(number):
            raise ParameterError(f"gate {shown}: {whole['number']} is no finite number")
        if (parts["name"] == "clean" or ".accuracy" in parts["words"] or metric in CERTIFIED) and not 0 <= number <= 1:
            raise ParameterError(
                f"gate {shown}: {whole['number']} is no share, so the gate could never decide anything: write a number "
                "from 0 to 1"
            )
        if metric in OF_SLICES and parts["name"] != SLICE:
            raise ParameterError(f"gate {shown}: .{metric} is of slices only: write slice[COLUMN=PART].{metric}")
        if parts["name"] == SLICE:
            chosen = _slice(shown, parts["selection"] or "", metric)
        else:
            chosen = _selection(shown, parts["selection"], _keys_of(metric))
        return cls(" ".join(text.split()), parts["name"], chosen, metric, end, whole["sign"], number)


def asked_radii(gates: Sequence[str | Gate]) -> list[float]:
    """The sizes at which gates ask for figures of certificates; gates that are not understood ask for none."""
    found = list[float]()
    for one in gates:
        with suppress(ParameterError):
            gate = one if isinstance(one, Gate) else Gate.parse(one)
            found += [
                v for k, v in gate.selection if k == "radius" and isinstance(v, float | int) and 0 <= v < math.inf
            ]
    return found


def _words(shown: str, text: str) -> tuple[str, str]:
    metric, end = "accuracy", "value"
    words = text.split(".")[1:]
    for i, word in enumerate(words):
        if word in _METRICS and i == 0:
            metric = word
        elif word in _ENDS and i == len(words) - 1:
            end = word
        else:
            raise ParameterError(f"gate {shown}: no figure {word!r} there; {did_you_mean(word, (*_METRICS, *_ENDS))}")
    return metric, end


def _keys_of(metric: str) -> tuple[str, ...]:
    """What the figures of a metric are chosen by."""
    if metric in CERTIFIED:
        return ("radius",)
    return CHOSEN_BY if metric in DETECTOR else _KEYS


def _selection(shown: str, text: str | None, keys: tuple[str, ...]) -> tuple[tuple[str, str | float], ...]:
    chosen: list[tuple[str, str | float]] = []
    for part in (text or "").split(",") if text is not None else ():
        key, equals, value = (p.strip() for p in part.partition("="))
        if key not in keys or not equals or not value:
            known = f"none of {'=, '.join(keys[:-1])}= and {keys[-1]}=" if keys[1:] else f"not {keys[0]}="
            hint = did_you_mean(key, keys)  # all names stand in the message already
            near = f"; {hint}" if key not in keys and hint.startswith("did you mean") else ""
            raise ParameterError(f"gate {shown}: {part.strip()!r} is {known} with a value{near}")
        chosen.append((key, value if key in _WORDS else parse_number(value, f"gate {shown}")))
    return tuple(chosen)


def _slice(shown: str, text: str, metric: str) -> tuple[tuple[str, str | float], ...]:
    """Columns of a slice and their parts, and maybe the condition: all words."""
    chosen = [tuple(p.strip() for p in part.partition("=")[::2]) for part in text.split(",")]
    columns = [key for key, _ in chosen if key != "condition"]
    known = metric in ("accuracy", *OF_SLICES, *TASK_SLICES) and all(key and value for key, value in chosen)
    if not known or not 1 <= len(columns) <= 2:
        raise ParameterError(
            f"gate {shown} is not understood: write slice[COLUMN=PART].accuracy, with one or two columns and maybe a "
            "condition, such as 'slice[weather=night,condition=fog-3].accuracy >= 0.8', or in the place of accuracy "
            f"{', '.join(OF_SLICES)}, of a detector of objects map, of a segmentation miou"
        )
    if metric in OF_SLICES and any(key == "condition" and value != "clean" for key, value in chosen):
        raise ParameterError(f"gate {shown}: {metric} of a slice is of unchanged images: leave out the condition")
    return tuple((key, value) for key, value in chosen)


def shown_gate(text: str) -> str:
    """Show the text of a gate in one short line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return repr(line if len(line) <= 80 else line[:77] + "...")
