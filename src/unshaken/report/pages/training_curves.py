"""Curves of a training run over its epochs."""

from __future__ import annotations

from collections.abc import Callable

from unshaken.core.numbers import show_budget
from unshaken.measure import share
from unshaken.report import wording
from unshaken.report.drawings import SHARES as LINES
from unshaken.report.drawings import Plot, Point
from unshaken.report.figures import plots
from unshaken.report.read.training import Record, TrainingRun

FEW_MARKS = 40
"""Epochs up to which each has a mark of its own."""
MOST_ROWS = 6
"""Epochs of a curve that its text names."""
SHARES = {"held_accuracy", "held_robust", "held_repaired", "train_fgsm", "train_robust"}
COUNTS = {"epoch", "held_attacked"}
KNOWN = SHARES | COUNTS | {"lr", "loss", "held_loss", "seconds", "forwards", "backwards"}
NAMES = {
    "lr": "learning rate",
    "loss": "training loss",
    "held_loss": "held-out loss",
    "held_accuracy": "held-out, clean",
    "held_robust": "held-out, robust",
    "held_repaired": "held-out, audited changes",
    "train_fgsm": "training, FGSM",
    "train_robust": "training, PGD",
    "alignment": "alignment of input gradients",
}
"""Columns of the curves, for people."""


def curve_name(column: str) -> str:
    """A column of the curves for people: `held-out loss`, and `worst class error` of what only a recipe knows."""
    return NAMES.get(column, column.replace("_", " "))


def threat_name(story: TrainingRun) -> str:
    """Attack on the held-out images in words: `PGD-10 L∞, ε 8/255`; empty without a threat."""
    threat = story.threat
    if threat is None:
        return ""
    steps = story.config.training.get("check_steps")
    attack = f"PGD-{steps}" if steps else "PGD"
    return f"{attack} {wording.NORMS.get(threat['norm'], threat['norm'])}, ε {show_budget(threat['eps'])}"


def columns(story: TrainingRun) -> list[str]:
    """Columns of the curves in their order, without the epoch and what is the same for all."""
    return [c for c in dict.fromkeys(k for record in story.curves for k in record) if c not in COUNTS]


def cell(column: str, record: Record) -> str:
    """A value of the curves as text; a dash where it was not measured."""
    value = record.get(column)
    if column in SHARES:
        return wording.percent(value)
    return wording.seconds(value) if column == "seconds" else wording.number(value)


def curves(story: TrainingRun) -> list[Plot]:
    """Curves over epochs: accuracy, robustness of training images, losses, learning rate, what recipes measured."""
    attack, there = threat_name(story), set(columns(story))
    robust = f"withstands {attack or 'PGD'}"
    wanted: list[tuple[str, list[tuple[str, str]]]] = [
        ("Held-out images, per cent right", [("held_accuracy", "unchanged"), ("held_robust", robust)]),
        ("Training images, per cent right", [("train_fgsm", "withstands FGSM"), ("train_robust", robust)]),
        ("Loss", [("loss", "of the recipes, training"), ("held_loss", "cross-entropy, held-out")]),
        ("Learning rate at the end of the epoch", [("lr", "learning rate")]),
    ]
    wanted += [(curve_name(c).capitalize(), [(c, curve_name(c))]) for c in columns(story) if c not in KNOWN]
    lines = [(title, [(c, n) for c, n in members if c in there]) for title, members in wanted]
    return [_plot(story, title, members) for title, members in lines if members]


def _plot(story: TrainingRun, title: str, members: list[tuple[str, str]]) -> Plot:
    shares = members[0][0] in SHARES
    values = [r[c] for c, _ in members for r in story.curves if c in r]
    down, rows = (plots.down, LINES) if shares else plots.value_axis(min(values), max(values))
    epochs = len(story.curves)
    traces, words = [], list[str]()
    for style, (column, name) in enumerate(members):
        points = [_point(story, column, name, r, epochs, down) for r in story.curves if column in r]
        n = story.images_of(column)
        band = shares and column.startswith("held") and n is not None
        traces.append(plots.curve(name, style, points, band=band, marked=len(points) <= FEW_MARKS))
        few = [r for r in story.curves if column in r][:: max(1, -(-len(points) // MOST_ROWS))]
        words.append(f"{name}: " + ", ".join(f"epoch {r['epoch'] + 1:.0f} {cell(column, r)}" for r in few))
    kept = story.chosen if story.chosen is not None and story.chosen >= 0 else None
    marker = None if kept is None else (_across(kept, epochs), f"epoch {kept + 1} kept")
    text = f"{title}. {'; '.join(words)}" + (f"; {marker[1]}" if marker else "")
    return Plot(title, "epoch", _ticks(epochs), tuple(traces), None, text, rows, marker)


def _point(
    story: TrainingRun, column: str, name: str, record: Record, epochs: int, down: Callable[[float], float]
) -> Point:
    """A mark; shares of held-out images have their interval."""
    value, n = record[column], story.images_of(column)
    text = f"epoch {record['epoch'] + 1:.0f}, {name}: {cell(column, record)}"
    x, y = _across(record["epoch"], epochs), down(value)
    if column not in SHARES or n is None:
        return Point(x, y, y, y, text)
    return plots.point(x, share(round(value * n), n).to_json(), text)


def _across(epoch: float, epochs: int) -> float:
    """The place of an epoch, counted from 0, in per cent from the left."""
    return 50.0 if epochs < 2 else 100 * epoch / (epochs - 1)


def _ticks(epochs: int) -> tuple[tuple[float, str], ...]:
    """At most seven epochs."""
    step = next(s * 10**k for k in range(9) for s in (1, 2, 5) if epochs // (s * 10**k) <= 7)
    return tuple((_across(e - 1, epochs), str(e)) for e in range(step, epochs + 1, step))
