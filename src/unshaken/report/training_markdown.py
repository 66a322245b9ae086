"""`report.md` of a training run: the same in plain text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from unshaken.report import training_view as view
from unshaken.report import wording
from unshaken.report.markdown_text import escape, table
from unshaken.report.training import TrainingRun

MOST_ROWS = 60
"""Epochs of the table; where there are more, some are left out evenly."""


def render_training_markdown(story: TrainingRun) -> str:
    """The report of a training run as Markdown."""
    parts = [_head(story), _flags(story), _figures(story), _trained(story), _curves(story), _rest(story)]
    return "\n\n".join(p for p in parts if p) + "\n"


def _head(story: TrainingRun) -> str:
    lines = [f"# How the model {escape(story.config.model)} was trained", "", escape(" ".join(view.opening(story)))]
    if not story.ended:
        lines += ["", f"**The run has not ended:** {escape(view.unfinished(story))}"]
    return "\n".join(lines)


def _flags(story: TrainingRun) -> str:
    if not story.flags:
        return ""
    lines = [f"- **{escape(name)}** {escape(seen)}" for name, seen in view.doubts(story)]
    return "## Reasons to doubt this model\n\n" + "\n".join(lines)


def _figures(story: TrainingRun) -> str:
    if not story.figures:
        return ""
    names = {"held_accuracy": "unchanged", "held_robust": view.threat_name(story)}
    rows = [
        [escape(names.get(k, k)), wording.percent(f["value"]), wording.span(f), f"{f['n']:,}"]
        for k, f in story.figures.items()
    ]
    where = "" if view.held_back(story) else ", with their SPEC in the place of `DATA`"
    commands = "\n".join(view.commands(story))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", commands)), default=0))
    return "\n\n".join(
        [
            "## Held-out images",
            table(["images", "right", "95 %", "n"], rows),
            "They chose the epoch, so these figures flatter it; for a fair figure measure the model on images that "
            f"it has not seen{where}:",
            f"{fence}sh\n{commands}\n{fence}",
        ]
    )


def _trained(story: TrainingRun) -> str:
    config = story.config
    lines = [
        "## What was trained",
        "",
        f"- model {escape(config.model)} (architecture {escape(config.arch)})",
        f"- data {escape(config.data)} (fingerprint {config.data_fingerprint[:16]}): "
        f"{wording.number(config.images.get('usable'))} usable images of {len(config.classes)} classes, "
        f"{wording.number(config.images.get('held_out'))} of them held out",
    ]
    lines += [f"- recipe {_recipe(r)}" for r in view.recipes(story)] or ["- no recipe: plain cross-entropy"]
    chosen = view.options(story)
    if not chosen:
        return "\n".join([*lines, "- options of the loop: the defaults"])
    return "\n".join([*lines, "", table(["option", "value", "default", "what it is"], _rows(chosen))])


def _recipe(line: view.RecipeLine) -> str:
    about = f": {_coded(line.summary)} ({escape(line.reference)})" if line.summary else ": not installed here"
    return f"**{escape(line.text)}**{about}"


def _coded(text: str) -> str:
    """Text of a docstring; what stands between backticks stays code."""
    return "".join(f"`{p}`" if i % 2 else escape(p) for i, p in enumerate(text.split("`")))


def _rows(options: Sequence[view.Option]) -> list[list[str]]:
    return [[escape(cell) for cell in (o.name, o.value, o.default, o.about)] for o in options]


def _curves(story: TrainingRun) -> str:
    if not story.curves:
        return ""
    columns, every = view.columns(story), -(-len(story.curves) // MOST_ROWS)
    shown = [r for r in story.curves if r["epoch"] % every == 0 or r["epoch"] == story.chosen or r is story.curves[-1]]
    rows = [
        [f"{r['epoch'] + 1:.0f}{' (kept)' if r['epoch'] == story.chosen else ''}", *(view.cell(c, r) for c in columns)]
        for r in shown
    ]
    head = ["epoch", *(escape(view.NAMES.get(c, c)) for c in columns)]
    more = (
        f"\n\n{len(story.curves) - len(shown)} more epochs are in curves.parquet"
        if len(shown) < len(story.curves)
        else ""
    )
    return "## Curves\n\n" + table(head, rows) + more


def _rest(story: TrainingRun) -> str:
    cost, config = story.cost, story.config
    versions = ", ".join(f"{k} {v}" for k, v in config.provenance.items())
    seed, precision = config.training.get("seed"), config.training.get("precision")
    lines = [
        "## Cost and provenance",
        "",
        f"- {cost['forwards']:,.0f} forward and {cost['backwards']:,.0f} backward passes, "
        f"{wording.seconds(cost['seconds'])}",
        f"- seed {seed}, {precision}, {config.processes} {'process' if config.processes == 1 else 'processes'}",
        f"- {escape(versions)}",
    ]
    return "\n".join(lines)
