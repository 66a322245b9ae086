"""`report.md` and `compare.md`: the same in plain text, for terminals, reviews and pull requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unshaken.report import view, wording
from unshaken.report.compare import Comparisons, RunComparison
from unshaken.report.gates import GateResult
from unshaken.report.markdown_attacks import attack_parts
from unshaken.report.markdown_certified import certified_parts
from unshaken.report.markdown_detected import detected_parts
from unshaken.report.markdown_text import escape, table
from unshaken.report.summary import Summary

_FEW = 20


def render_markdown(summary: Summary, gates: Sequence[GateResult] = ()) -> str:
    """The report of a run as Markdown.

    Args:
        summary: of the run.
        gates: results to show.
    """
    data = summary.data
    parts = [_head(data), _gates(gates), _flags(data), _conditions(data), *attack_parts(data)]
    parts += [*certified_parts(data), *detected_parts(data)]
    parts += [_aggregates(data), _classes(data)]
    if summary.comparison is not None:
        parts.append(_comparison(summary.comparison))
    parts += [_rest(data)]
    return "\n\n".join(p for p in parts if p) + "\n"


def render_compare_markdown(comparisons: Comparisons) -> str:
    """A comparison of runs as Markdown."""
    first = comparisons.runs[0]
    parts = [f"# Comparison with {escape(first.baseline_name)}", *(_comparison(r) for r in comparisons.runs)]
    return "\n\n".join(parts) + "\n"


def _head(data: dict[str, Any]) -> str:
    source, clean = data["provenance"], data["clean"]
    lines = [f"# How shaken is {escape(source['model_name'])}?", ""]
    if clean:
        lines.append(
            f"On {clean['n']} unchanged images of {escape(source['data'])} it is right in "
            f"**{wording.percent(clean['value'])}** ({wording.span(clean)})."
        )
    else:
        lines.append(
            f"The {source['evaluated']} images of {escape(source['data'])} have no labels: figures say how often the "
            "prediction stays what it was on the unchanged image."
        )
    worst = view.worst_of(view.changes_of(data))
    if worst:
        left = wording.percent((view.metric(worst) or {})["value"])
        lines.append(
            f"**{escape(wording.condition_name(worst))}** shakes it most: **{left}** {'are left' if clean else 'stay'}."
        )
    least = data["aggregates"].get("worst_case")
    if least:
        lines.append(f"{wording.percent(least['value'])} ({wording.span(least)}) stay right under every change.")
    if not data["complete"]:
        lines += ["", "**The run is not complete.** Figures are of what is there."]
    return "\n".join(lines)


def _gates(gates: Sequence[GateResult]) -> str:
    if not gates:
        return ""
    lines = [f"- {'held' if g.held else '**failed**'}: `{g.text.replace('`', '')}`: {escape(g.detail)}" for g in gates]
    return "## Gates\n\n" + "\n".join(lines)


def _flags(data: dict[str, Any]) -> str:
    if not data["flags"]:
        return ""
    lines = [
        f"- **{escape(f['name'])}**: {escape(f['detail'])}"
        + (f" ({len(f['ids'])} samples)" if f["ids"] else "")
        + (f" {escape(wording.ADVICE[f['name']])}" if f["name"] in wording.ADVICE else "")
        for f in data["flags"]
    ]
    return "## Reasons to doubt these figures\n\n" + "\n".join(lines)


def _conditions(data: dict[str, Any]) -> str:
    rows = [
        [escape(wording.condition_name(c)), *_figure(c["accuracy"]), *_figure(c["consistency"])]
        for c in view.changes_of(data)
    ]
    if not rows:
        return ""
    return "## Changes\n\n" + table(["change", "right", "95 %", "same prediction", "95 %"], rows)


def _figure(figure: dict[str, Any] | None) -> tuple[str, str]:
    return ("–", "–") if figure is None else (wording.percent(figure["value"]), wording.span(figure))


def _aggregates(data: dict[str, Any]) -> str:
    rows = []
    for name, figure in data["aggregates"].items():
        if figure is None:
            rows.append([escape(name), "–", escape(data["notes"].get(name, "no labels"))])
        else:
            interval = f"{figure['low']:.4f} to {figure['high']:.4f}, n = {figure['n']}"
            rows.append([escape(name), f"{figure['value']:.4f}", escape(interval)])
    return "## Aggregates\n\n" + table(["figure", "value", "95 %, or why there is none"], rows)


def _classes(data: dict[str, Any]) -> str:
    if not data["classes"]:
        return ""
    weak = sorted(data["classes"], key=lambda c: float((c["worst_case"] or c["clean"])["value"]))
    rows = [
        [escape(c["name"]), *_figure(c["clean"]), *_figure(c["worst_case"]), str(c["clean"]["n"])] for c in weak[:_FEW]
    ]
    more = f"\n\nand {len(weak) - _FEW} more classes in summary.json" if len(weak) > _FEW else ""
    return "## Classes\n\n" + table(["class", "right", "95 %", "worst case", "95 %", "n"], rows) + more


def _comparison(comparison: RunComparison) -> str:
    rows = []
    for c in comparison.conditions:
        d = c.paired.difference
        rows.append(
            [
                escape(wording.name_of(c.condition)),
                wording.percent(c.baseline.value),
                wording.percent(c.candidate.value),
                f"{100 * d.value:+.1f} ({100 * d.low:+.1f} to {100 * d.high:+.1f})",
                f"{c.paired.p_holm:.2g}",
                c.verdict,
            ]
        )
    head = f"## {escape(comparison.candidate_name)} against {escape(comparison.baseline_name)}"
    text = (
        f"On the same {comparison.n} images; differences in percentage points, p by McNemar's exact test after Holm's "
        "correction."
    )
    notes = [f"- {escape(n)}" for n in comparison.notes]
    if comparison.only_baseline:
        notes.append(f"- only in the baseline: {escape(', '.join(comparison.only_baseline))}")
    if comparison.only_candidate:
        notes.append(f"- only in the candidate: {escape(', '.join(comparison.only_candidate))}")
    shown = table(["change", "baseline", "candidate", "difference", "p", "verdict"], rows)
    return "\n\n".join([head, text, shown, *(["\n".join(notes)] if notes else [])])


def _rest(data: dict[str, Any]) -> str:
    cost, source = data["cost"], data["provenance"]
    overhead = "" if cost["overhead"] is None else f", overhead {cost['overhead']:.3f}"
    lines = [
        "## Cost and provenance",
        "",
        f"- {cost['forwards']:,} forward and {cost['backwards']:,} backward passes, "
        f"{wording.seconds(cost['seconds'])}{overhead}",
        f"- model {escape(source['model'])} (fingerprint {source['model_fingerprint'][:16]})",
        f"- data {escape(source['data'])} (fingerprint {source['data_fingerprint'][:16]}), {source['evaluated']} of "
        f"{source['samples']} samples",
        f"- plan {escape(source['plan'])}, seed {source['seed']}, {source['precision']}, {escape(source['device'])}",
        *(f"- {escape(line)}" for line in source["protocol"]),
    ]
    bad = data["bad_samples"]
    if bad:
        lines += ["", f"## Samples left out: {len(bad)}", ""]
        lines += [f"- {escape(b['id'])}: {escape(b['reason'])}" for b in bad[:_FEW]]
        lines += [f"- and {len(bad) - _FEW} more in summary.json"] if len(bad) > _FEW else []
    return "\n".join(lines)
