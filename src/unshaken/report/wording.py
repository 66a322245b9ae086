"""Names of methods, conditions and strengths, and figures, as text for people."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from unshaken.core.numbers import show_budget
from unshaken.core.part import CLEAN, Condition
from unshaken.core.registry import title_of

NORMS = {"linf": "L∞", "l2": "L2", "l1": "L1", "l0": "L0"}
NEAREST = "nearest examples"
"""The strength of a condition with a norm and no budget."""
_NORM = "|".join(NORMS)
_ATTACK_ID = re.compile(rf"(.+)-({_NORM})(?:-([0-9.e-]+))?")
_SEARCH = re.compile(rf"([\w+-]+) \(({_NORM})(?:, eps ([^)]+))?\)")

SIZES = {
    "linf": "in L∞ of each pixel value, so that 8/255 is 8 of the 255 levels of a colour",
    "l2": "in L2 of the square root of the sum of all squared changes",
    "l1": "in L1 of the sum of all absolute changes",
    "l0": "in L0 of the number of changed values, a pixel having one a channel",
}
"""What ε limits the size of, in each norm."""


def meaning_of_eps(norms: Collection[str | None]) -> str:
    """Meaning of ε in some norms, in a sentence; empty without any."""
    meant = [text for norm, text in SIZES.items() if norm in norms]
    return f"ε limits the size of a change, for pixel values between 0 and 1: {'; '.join(meant)}." if meant else ""


def percent(value: float | None, digits: int = 1) -> str:
    """A share as text: `87.5 %`; a dash for none."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def span(figure: dict[str, Any] | None) -> str:
    """The interval of a share as text: `74.8 to 95.3 %`."""
    if figure is None or figure["low"] is None or figure["high"] is None:
        return "–"
    return f"{100 * figure['low']:.1f} to {100 * figure['high']:.1f} %"


def number(value: float | None) -> str:
    """A number in a few digits: `12,345`, `3.27`, `0.0041`; a dash for none."""
    if value is None:
        return "–"
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def seconds(value: float | None) -> str:
    """A time as text: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if value is None:
        return "–"
    if value < 60:
        return f"{value:.2g} s" if value < 10 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def distance(value: float, norm: str) -> str:
    """The size of a change as people write it: `8/255` in L∞ where it is one, else a number in a few digits."""
    return show_budget(value) if norm == "linf" else number(value)


def method_name(label: str) -> str:
    """A method, its severity, or a plan's line for people: `fog`, `JPEG compression, severity 3`, `PGD (line 2)`."""
    name, plus, line = label.partition("+")
    name, to, target = name.partition("-to-")
    method, _, severity = name.rpartition("-")
    words = (
        f"{title_of(method)}, severity {severity}"
        if method and severity.isascii() and severity.isdecimal()
        else title_of(name)
    )
    words += f" to {target.replace('-', ' ')}" if to else ""
    return f"{words} (line {line})" if plus else words


def label_of(condition: dict[str, Any]) -> str:
    """The plan's line that a condition of a summary belongs to: `fog`, `pgd+2`."""
    return series_of(condition).removesuffix(f"-{condition['norm']}") if condition["norm"] else series_of(condition)


def series_of(condition: dict[str, Any]) -> str:
    """A condition's id without its strength: `fog`, `pgd-linf`."""
    name: str = condition["condition"]
    for key in ("severity", "eps"):
        if condition.get(key) is not None:
            return name.removesuffix(f"-{condition[key]:.6g}")
    return name


def series_name(condition: dict[str, Any]) -> str:
    """A series for people: `fog`, `PGD L∞`."""
    name = method_name(label_of(condition))
    return f"{name} {NORMS.get(condition['norm'], condition['norm'])}" if condition["norm"] else name


def strength(condition: dict[str, Any]) -> str:
    """A condition's strength for people: `severity 3`, `ε 8/255`, `nearest examples`; empty for none."""
    if condition.get("severity") is not None:
        return f"severity {condition['severity']}"
    if condition.get("eps") is not None:
        return f"ε {show_budget(condition['eps'])}"
    return NEAREST if condition["norm"] else ""


def short_strength(condition: dict[str, Any]) -> str:
    """As `strength`, for axes and small tables: `3`, `8/255`."""
    return strength(condition).removeprefix("severity ").removeprefix("ε ")


def condition_name(condition: dict[str, Any]) -> str:
    """A condition for people: `fog, severity 3`, `PGD L∞, ε 8/255`."""
    how = strength(condition)
    return f"{series_name(condition)}, {how}" if how else series_name(condition)


def name_of_id(condition: str) -> str:
    """A condition for people, where no more than its id is known.

    >>> name_of_id("pgd-linf-0.0313725"), name_of_id("fog-3")
    ('PGD L∞, ε 8/255', 'fog, severity 3')
    """
    if condition == CLEAN.id:
        return "unchanged images"
    found = _ATTACK_ID.fullmatch(condition)
    if not found:
        return method_name(condition)
    label, norm, eps = found.groups()
    if eps is None:
        return f"{method_name(label)} {NORMS[norm]}, {NEAREST}"
    level = round(255 * float(eps)) / 255  # an id has six digits
    value = level if f"{level:.6g}" == eps else float(eps)
    return f"{method_name(label)} {NORMS[norm]}, ε {show_budget(value)}"


def flag_text(detail: str) -> str:
    """The detail of a flag with searches named as conditions are.

    >>> flag_text("auto (linf, eps 8/255) did not finish")
    'auto L∞, ε 8/255 did not finish'
    """
    return _SEARCH.sub(lambda m: f"{title_of(m[1])} {NORMS[m[2]]}{f', ε {m[3]}' if m[3] else ''}", detail)


def name_of(condition: Condition) -> str:
    """`condition_name` of a condition as runs keep it; that of `clean` is `unchanged images`."""
    if condition.id == CLEAN.id:
        return "unchanged images"
    return condition_name({"condition": condition.id, **asdict(condition)})


def slice_name(slicing: str, part: str) -> str:
    """A slice as gates write it.

    >>> slice_name("weather*size", "night*below 32")
    'weather = night, size = below 32'
    """
    names, parts = slicing.split("*"), part.split("*")
    if len(names) != len(parts):
        return f"{slicing} = {part}"
    return ", ".join(f"{name} = {own}" for name, own in zip(names, parts, strict=True))
