"""Attacks on detectors: the share that evades model and detector, naive and adaptive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unshaken.core.numbers import show_budget
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Heading, Prose, Table
from unshaken.report.cells import Row


def evasion(data: Mapping[str, Any]) -> list[Block]:
    """The detectors under attack, one table a budget, the lowest adaptive share first."""
    budgets: dict[tuple[str, float], list[tuple[str, Row]]] = {}
    for detector in data["detection"]:
        for one in detector["attacked"]:
            budgets.setdefault((one["norm"], one["eps"]), []).append((detector["condition"], one))
    if not budgets:
        return []
    text = (
        "Images changed within a budget so that the model gives a wrong class and the detector accepts them. The "
        "naive figure takes examples made for the model alone; the adaptive one attacks model and detector together. "
        "Only the adaptive figure says what the detector withstands, and it is a lower bound of what an attacker can "
        "do."
    )
    found: list[Block] = [Heading("Attacks on the detectors", level=3), Prose(text)]
    for (norm, eps), members in budgets.items():
        n = max(one["n"] for _, one in members)
        rows = [
            cells.line(
                name, *(cells.share(one[k] and one[k]["past"], bar=True, bad=True) for k in ("naive", "adaptive"))
            )
            for name, one in sorted(members, key=_evaded)
        ]
        title = f"{budget_name(norm, eps)}: share of {n} attacked images that evade model and detector"
        head = cells.columns(f"evade, {budget_name(norm, eps)}", "naive", "adaptive")
        found.append(Table(title, head, tuple(rows), "narrow", brief=True))
    return found


def budget_name(norm: str, eps: float) -> str:
    """A budget for people: `L∞, ε 8/255`."""
    return f"{wording.NORMS.get(norm, norm)}, ε {show_budget(eps)}"


def _evaded(member: tuple[str, Row]) -> float:
    return float((member[1]["adaptive"] or member[1]["naive"] or {"past": {"value": 1.0}})["past"]["value"])
