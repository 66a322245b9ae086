"""The part of `report.md` on certificates."""

from __future__ import annotations

from typing import Any

from unshaken.report import certify_view, wording
from unshaken.report.markdown_text import escape, table

Row = dict[str, Any]


def certified_parts(data: Row) -> list[str]:
    """A section for each certified condition."""
    return [_one(one) for one in data["certified"]]


def _one(one: Row) -> str:
    rows = [
        [f"{line.radius:.4g}", *(_share(f) for f in (line.accuracy, line.certified, line.attacked))]
        for line in certify_view.lines(one)
    ]
    sure = f"wrong with probability {one['alpha']:g} at most" if one["alpha"] else "exact"
    norm = wording.NORMS.get(one["norm"], one["norm"])
    text = (
        f"## Certified: {escape(wording.method_name(one['condition']))}\n\nCertificates are {sure}; abstained on "
        f"{wording.percent(one['abstained']['value'])}. Cost: {certify_view.cost(one)}."
    )
    if one["broken"]:
        text += f"\n\n**Contradicted on {len(one['broken'])} samples: an error of unshaken, report it.**"
    head = [f"size ({norm})", "certified and right", "certified", "left by an attack"]
    return text + "\n\n" + (table(head, rows) if rows else "Nothing is certified.")


def _share(figure: Row | None) -> str:
    return "–" if figure is None else f"{wording.percent(figure['value'])} ({wording.span(figure)})"
