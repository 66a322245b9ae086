"""The part of `report.md` on attacks: what each turn bought, and nearest examples."""

from __future__ import annotations

from typing import Any

from unshaken.report import attack_view, wording
from unshaken.report.markdown_text import escape, table

Row = dict[str, Any]


def attack_parts(data: Row) -> list[str]:
    """The sections of a summary's attacks; none where there were none."""
    return [p for p in (_turns(data["attacks"]), _together(data["norms"]), _nearest(data["minimal_norms"])) if p]


def _turns(attacks: list[Row]) -> str:
    rows = []
    for attack in attacks:
        name, before = escape(wording.condition_name(attack)), attack["passes_before"]
        for number, turn in enumerate(attack["turns"], 1):
            why = f": {turn['why']}" if turn["why"] else ""
            rows.append(
                [
                    f"{name}, {number}. {escape(turn['attack'] + why)}",
                    str(turn["standing"]),
                    str(turn["broken"]),
                    wording.percent(turn["accuracy"]["value"]),
                    wording.span(turn["accuracy"]),
                    wording.number(before + turn["passes_per_sample"]),
                    wording.seconds(turn["seconds"]),
                ]
            )
    if not rows:
        return ""
    head = ["turn", "worked on", "broke", "right after", "95 %", "passes a sample so far", "time"]
    return "## Attacks, turn by turn\n\n" + table(head, rows)


def _together(norms: list[Row]) -> str:
    """The least eps within which half fall; the curves are in `summary.json`."""
    lines = [
        f"- in {wording.NORMS.get(n['norm'], n['norm'])} half of the images that are right when unchanged are broken "
        f"within ε {attack_view.distance(n['median'])}"
        for n in norms
        if n["median"]
    ]
    return "## All attacks together\n\n" + "\n".join(lines) if lines else ""


def _nearest(rows: list[Row]) -> str:
    if not rows:
        return ""
    cells = [
        [
            escape(wording.series_name(r)),
            wording.percent(r["success"] and r["success"]["value"]),
            *(attack_view.distance(r[k]) for k in ("median", "median_of_broken", "mean_of_broken")),
            wording.number(r["passes_per_sample"]),
        ]
        for r in rows
    ]
    head = ["nearest examples", "broke", "median", "median of the broken", "mean of the broken", "passes a sample"]
    return "## Nearest examples\n\n" + table(head, cells)
