"""What the page of a training run shows, arranged: tiles, recipes, options, curves over epochs, commands."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from unshaken.core.errors import ParameterError
from unshaken.core.registry import Method, find_method
from unshaken.harden.engine.training import Training
from unshaken.measure import share
from unshaken.report import plots, wording
from unshaken.report.html import page
from unshaken.report.training import Record, TrainingRun, recipe_of
from unshaken.report.view import Tile

FEW_MARKS = 40
"""Epochs up to which each has a mark of its own."""
TELL = 6
"""Epochs of a curve that are told in words."""
SHARES = {"held_accuracy", "held_robust", "train_fgsm", "train_robust"}
COUNTS = {"epoch", "held_attacked"}
KNOWN = SHARES | COUNTS | {"lr", "loss", "held_loss", "seconds", "forwards", "backwards"}
NAMES = {
    "lr": "learning rate",
    "loss": "training loss",
    "held_loss": "held-out loss",
    "held_accuracy": "held-out, clean",
    "held_robust": "held-out, robust",
    "train_fgsm": "training, FGSM",
    "train_robust": "training, PGD",
    "alignment": "alignment of input gradients",
}
"""Columns of the curves, for people."""


@dataclass(frozen=True, slots=True)
class Option:
    """A parameter with its value as text, its default, and what it is."""

    name: str
    value: str
    default: str
    about: str


@dataclass(frozen=True, slots=True)
class RecipeLine:
    """A recipe as it was given, with what the registry knows of it; empty where it is not known here."""

    text: str
    name: str
    summary: str
    reference: str
    options: tuple[Option, ...]


def render_training(story: TrainingRun) -> str:
    """The report of a training run as one HTML page."""
    return page(
        "training.html.jinja",
        story=story,
        config=story.config,
        opening=opening(story),
        tiles=tiles(story),
        recipes=recipes(story),
        options=options(story),
        plots=curves(story),
        columns=columns(story),
        commands=commands(story),
        doubts=doubts(story),
        unfinished=unfinished(story),
        held_back=held_back(story),
        said=said,
        cell=cell,
        names=NAMES,
    )


def threat_name(story: TrainingRun) -> str:
    """What held-out images were attacked with: `PGD-10 L∞, ε 8/255`; empty without a threat."""
    threat = story.threat
    if threat is None:
        return ""
    steps = story.config.training.get("check_steps")
    attack = f"PGD-{steps}" if steps else "PGD"
    return f"{attack} {wording.NORMS.get(threat['norm'], threat['norm'])}, ε {wording.budget(threat['eps'])}"


def opening(story: TrainingRun) -> list[str]:
    """What happened, in sentences."""
    config, done = story.config, len(story.curves)
    names = [text.partition(":")[0] for text in config.recipes]
    how = f"by {_listed(names)}" if names else "by plain cross-entropy"
    held = config.images.get("held_out", 0)
    learned = max(0, config.images.get("usable", 0) - held)
    first = f"It was trained {how} for {_epochs(done)} on {learned:,} images; {held:,} more were held out."
    if story.chosen is None:
        return [first]
    by = f"accuracy under {threat_name(story) or 'attack'}" if story.chosen_by == "robust" else "accuracy"
    why = "it is the last one" if story.chosen_by == "last" else f"the {by} on held-out images is highest there"
    kept = (
        f"Of {_epochs(done)} the weights of epoch {story.chosen + 1} are kept{'' if story.ended else ' so far'}: {why}."
    )
    early = ["It stopped early: no check was better for as long as patience allows."] if story.stopped_early else []
    return [first, kept, *early]


def doubts(story: TrainingRun) -> list[tuple[str, str]]:
    """The flags: a name for people and what was seen, which does not say the name again."""
    found = []
    for flag in story.flags:
        name = flag["name"].replace("-", " ")
        found.append((name, " " + flag["detail"].removeprefix(name).lstrip(": ")))
    return found


def unfinished(story: TrainingRun) -> str:
    """What to know of a run that has not ended; empty for one that has."""
    if story.ended:
        return ""
    done = f"{len(story.curves)} of {_epochs(story.planned)}" if story.curves else "no epoch"
    verb = "is" if len(story.curves) < 2 else "are"
    return f"{done} {verb} done. Figures are of what is there; the same command with --resume goes on."


def tiles(story: TrainingRun) -> list[Tile]:
    """The numbers of the first screen."""
    names = {
        "held_accuracy": ("held-out, unchanged images", "clean"),
        "held_robust": (f"held-out, {threat_name(story)}", "shaken"),
    }
    found = []
    for column, figure in story.figures.items():
        title, kind = names.get(column, (column, "clean"))
        found.append(
            Tile(title, wording.percent(figure["value"]), f"{wording.span(figure)}, {figure['n']:,} images", kind)
        )
    if story.chosen is not None:
        found.append(Tile("epoch kept", str(story.chosen + 1), f"of {len(story.curves)}", "clean"))
    spent = story.cost["forwards"] + story.cost["backwards"]
    found.append(Tile("time", wording.seconds(story.cost["seconds"]), f"{wording.number(spent)} passes", "clean"))
    return found


def recipes(story: TrainingRun) -> list[RecipeLine]:
    """The recipes in the order given, with what each is and its parameters."""
    found = []
    for text in story.config.recipes:
        name, recipe = text.partition(":")[0], recipe_of(text)
        known = _known(name)
        own = () if recipe is None else _options(type(recipe), recipe.model_dump(mode="json"))
        found.append(RecipeLine(text, name, known.summary if known else "", known.reference if known else "", own))
    return found


def options(story: TrainingRun) -> tuple[Option, ...]:
    """Options of the loop that differ from the defaults."""
    return tuple(o for o in _options(Training, story.config.training) if o.value != o.default)


def _options(cls: type[Any], values: dict[str, Any]) -> tuple[Option, ...]:
    found = []
    for name, value in values.items():
        field = cls.model_fields.get(name)
        default = (
            "–" if field is None or field.is_required() else said(field.get_default(call_default_factory=True), name)
        )
        found.append(Option(name, said(value, name), default, (field.description or "") if field else ""))
    return tuple(found)


def said(value: Any, name: str = "") -> str:
    """A value of an option for people; an `eps` as a fraction where it is one."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return wording.budget(value) if name == "eps" else f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(said(v) for v in value) or "none"
    return str(value)


def _known(name: str) -> Method | None:
    try:
        return find_method(name, "harden")
    except ParameterError:
        return None


# Curves.


def columns(story: TrainingRun) -> list[str]:
    """Columns of the curves in their order, without the epoch and what is the same for all."""
    return [c for c in dict.fromkeys(k for record in story.curves for k in record) if c not in COUNTS]


def cell(column: str, record: Record) -> str:
    """A value of the curves as text; a dash where it was not measured."""
    value = record.get(column)
    if column in SHARES:
        return wording.percent(value)
    return wording.seconds(value) if column == "seconds" else wording.number(value)


def curves(story: TrainingRun) -> list[plots.Plot]:
    """Curves over epochs: accuracy, what training images withstand, losses, learning rate, what recipes measured."""
    attack, there = threat_name(story), set(columns(story))
    robust = f"withstands {attack or 'PGD'}"
    wanted: list[tuple[str, list[tuple[str, str]]]] = [
        ("Held-out images, per cent right", [("held_accuracy", "unchanged"), ("held_robust", robust)]),
        ("Training images, per cent right", [("train_fgsm", "withstands FGSM"), ("train_robust", robust)]),
        ("Loss", [("loss", "of the recipes, training"), ("held_loss", "cross-entropy, held-out")]),
        ("Learning rate at the end of the epoch", [("lr", "learning rate")]),
    ]
    wanted += [(NAMES.get(c, c).capitalize(), [(c, NAMES.get(c, c))]) for c in columns(story) if c not in KNOWN]
    lines = [(title, [(c, n) for c, n in members if c in there]) for title, members in wanted]
    return [_plot(story, title, members) for title, members in lines if members]


def _plot(story: TrainingRun, title: str, members: list[tuple[str, str]]) -> plots.Plot:
    shares = members[0][0] in SHARES
    values = [r[c] for c, _ in members for r in story.curves if c in r]
    down, rows = (plots.down, plots.SHARES) if shares else plots.value_axis(min(values), max(values))
    epochs = len(story.curves)
    traces, told = [], list[str]()
    for style, (column, name) in enumerate(members):
        points = [_point(story, column, name, r, epochs, down) for r in story.curves if column in r]
        n = story.images_of(column)
        band = shares and column.startswith("held") and n is not None
        traces.append(plots.curve(name, style, points, band=band, marked=len(points) <= FEW_MARKS))
        few = [r for r in story.curves if column in r][:: max(1, -(-len(points) // TELL))]
        told.append(f"{name}: " + ", ".join(f"epoch {r['epoch'] + 1:.0f} {cell(column, r)}" for r in few))
    marker = None if story.chosen is None else (_across(story.chosen, epochs), f"epoch {story.chosen + 1} kept")
    text = f"{title}. {'; '.join(told)}" + (f"; {marker[1]}" if marker else "")
    return plots.Plot(title, "epoch", _ticks(epochs), tuple(traces), None, text, rows, marker)


def _point(
    story: TrainingRun, column: str, name: str, record: Record, epochs: int, down: Callable[[float], float]
) -> plots.Point:
    """A mark; shares of held-out images have their interval."""
    value, n = record[column], story.images_of(column)
    text = f"epoch {record['epoch'] + 1:.0f}, {name}: {cell(column, record)}"
    x, y = _across(record["epoch"], epochs), down(value)
    if column not in SHARES or n is None:
        return plots.Point(x, y, y, y, text)
    return plots.point(x, share(round(value * n), n).to_json(), text)


def _across(epoch: float, epochs: int) -> float:
    """The place of an epoch, counted from 0, in per cent from the left."""
    return 50.0 if epochs < 2 else round(100 * epoch / (epochs - 1), 2)


def _ticks(epochs: int) -> tuple[tuple[float, str], ...]:
    """At most seven epochs."""
    step = next(s * 10**k for k in range(9) for s in (1, 2, 5) if epochs // (s * 10**k) <= 7)
    return tuple((_across(e - 1, epochs), str(e)) for e in range(step, epochs + 1, step))


# What to do next.


def held_back(story: TrainingRun) -> str | None:
    """The SPEC of the test split where the training data is a train split; None where no SPEC is known."""
    base, _, query = story.config.data.partition("?")
    parts = query.split("&")
    if not base or "split=train" not in parts:
        return None
    return f"{base}?{'&'.join('split=test' if p == 'split=train' else p for p in parts)}"


def commands(story: TrainingRun) -> list[str]:
    """What measures the kept model on images that it has not seen."""
    if story.chosen is None:
        return []
    about = f"--model {shlex.quote(f'run:{story.place}')} --data {shlex.quote(held_back(story) or 'DATA')}"
    found = [f"unshaken audit {about}"]
    if story.threat is not None:
        eps, norm = story.threat["eps"], story.threat["norm"]
        budget = wording.budget(eps) if "/" in wording.budget(eps) else f"{eps:.12g}"
        found.append(f"unshaken attack {about} --attack auto --norm {norm} --eps {budget}")
    return found


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _epochs(n: int) -> str:
    return "1 epoch" if n == 1 else f"{n} epochs"
