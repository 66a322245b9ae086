"""The page of a training run: what was trained and how, its curves, and the commands that measure the result."""

from __future__ import annotations

import shlex
from typing import Any, NamedTuple

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import show_budget
from unshaken.core.part import CLEAN
from unshaken.core.registry import Method, find_method
from unshaken.core.values import text_of
from unshaken.harden.engine.training import Training
from unshaken.models.loaders.from_run import spec_of_run
from unshaken.report import cells, wording
from unshaken.report.blocks import (
    Block,
    Column,
    Commands,
    Details,
    Doubt,
    Facts,
    Flags,
    Heading,
    Headline,
    Prose,
    Span,
    Table,
    Text,
    Tile,
    Tiles,
    pieces,
)
from unshaken.report.compare import RunComparison
from unshaken.report.drawings import Plots
from unshaken.report.pages.page_kind import PageKind
from unshaken.report.pages.training_curves import cell, columns, curve_name, curves, threat_name
from unshaken.report.read.training import TrainingRun, read_before_after, read_training, recipe_of
from unshaken.report.sections.comparison import change_tiles, comparison_blocks, difference_strips, show_change

FOOTER = (
    "Made by unshaken from the directory of this run alone; ",
    Span("unshaken report DIR", "code"),
    " makes it again. Intervals are 95 %: Clopper–Pearson.",
)
WHAT_MAY_HELP = (
    "What may help: more training images, more epochs (--epochs), a smaller budget, as in --method trades:eps=2/255, "
    "or a larger loss on unchanged images (--max-clean-loss)."
)
"""What to do where the starting weights are kept."""
CHOSEN_BY = {
    "robust": "held-out robust accuracy",
    "clean": "held-out accuracy",
    "last": "the last epoch",
    "repair": "held-out accuracy under the changes that the audit found to affect the model",
}


class Source(NamedTuple):
    """Source of the sections: the training run, and of a repair the audits before and after it."""

    story: TrainingRun
    repaired: RunComparison | None = None


def _head(source: Source) -> list[Block]:
    story, repaired = source
    lead = opening(story)
    if repaired is not None and not story.start_kept:
        clean = [c for c in repaired.conditions if c.condition.id == CLEAN.id]
        at = f", from {show_change(clean[0])} on unchanged images" if clean else ""
        lead.append(f"Before and after, on the same {cells.counted(repaired.n, 'image')}{at}: {repaired.verdicts}.")
    title = f"How robust is {story.config.model} after training?"
    return [Headline(title, (" ".join(lead),), following=_following(story), brief=True)]


def _following(story: TrainingRun) -> Text:
    """What to do next; empty where a notice below says it."""
    if story.start_kept or not story.ended or not commands(story):
        return ""
    return "audit the kept weights on images that training has not seen, by the commands below."


def _doubts(source: Source) -> list[Block]:
    """Flags, and why the starting weights are kept or the run has not ended."""
    story, found = source.story, list[Block]()
    if story.flags:
        names = [f["name"].replace("-", " ") for f in story.flags]
        details = [f["detail"].removeprefix(n).lstrip(": ") for n, f in zip(names, story.flags, strict=True)]
        found.append(Flags(tuple(map(Doubt, names, details)), brief=True))
    if story.start_kept:
        text = f" {story.start_kept}. {WHAT_MAY_HELP}"
        found.append(Prose((Span("Not repaired:", "strong"), text), "bad", brief=True))
    if not story.ended:
        done = f"{len(story.curves)} of {cells.counted(story.planned, 'epoch')}" if story.curves else "no epoch"
        verb = "is" if len(story.curves) < 2 else "are"
        text = f" {done} {verb} done. Figures are of what is there; the same command with --resume goes on."
        found.append(Prose((Span("The run has not ended:", "strong"), text), "bad", brief=True))
    return found


def _repair(source: Source) -> list[Block]:
    """Before and after a repair: large numbers, the difference under each condition, and all figures as a table."""
    story, repaired = source
    if repaired is None:
        return []
    title = "Before and after, of the repaired weights that were not kept" if story.start_kept else "Before and after"
    return [
        Heading(title, "before-after", "Before and after", open=True),
        Tiles(change_tiles(repaired)),
        difference_strips(repaired),
        Details("All figures before and after", comparison_blocks(repaired)),
        Heading("Training", "training"),
    ]


def opening(story: TrainingRun) -> list[str]:
    """Say in sentences what was trained and which weights are kept."""
    config, done = story.config, cells.counted(len(story.curves), "epoch")
    names = [text.partition(":")[0] for text in config.recipes]
    how = f"by {cells.listed(names)}" if names else "by plain cross-entropy"
    held = config.images.get("held_out", 0)
    learned = max(0, config.images.get("usable", 0) - held)
    first = f"It was trained {how} for {done} on {learned:,} images; {held:,} more were held out."
    if story.chosen is None:
        return [first]
    if story.chosen < 0:
        return [first, "The starting weights are kept."]
    by = {
        "robust": f"accuracy under {threat_name(story) or 'attack'}",
        "repair": "accuracy under the audited changes",
    }.get(story.chosen_by, "accuracy")
    why = "it is the last one" if story.chosen_by == "last" else f"the {by} on held-out images is highest there"
    kept = f"Of {done} the weights of epoch {story.chosen + 1} are kept{'' if story.ended else ' so far'}: {why}."
    early = ["It stopped early: no check was better for as long as patience allows."] if story.stopped_early else []
    return [first, kept, *early]


def _tiles(source: Source) -> list[Block]:
    story = source.story
    names = {"held_accuracy": "held-out, unchanged images", "held_robust": f"held-out, {threat_name(story)}"}
    found = list[Tile]()
    for column, figure in story.figures.items():
        under = f"{wording.span(figure)}, {figure['n']:,} images"
        bad = column == "held_robust"
        found.append(Tile(names.get(column, column), wording.percent(figure["value"]), under, bad))
    if story.chosen is not None:
        kept = str(story.chosen + 1) if story.chosen >= 0 else "none"
        found.append(Tile("epoch kept", kept, f"of {len(story.curves)}", bad=story.chosen < 0))
    spent = story.cost["forwards"] + story.cost["backwards"]
    found.append(Tile("time", wording.seconds(story.cost["seconds"]), f"{wording.number(spent)} passes"))
    return [Tiles(tuple(found))]


def _held_out(source: Source) -> list[Block]:
    """Figures on held-out images, and how to get fair ones."""
    story, found = source.story, list[Block]()
    if story.figures:
        names = {"held_accuracy": "unchanged", "held_robust": threat_name(story)}
        rows = tuple((names.get(k, k), cells.share(f), f"{f['n']:,}") for k, f in story.figures.items())
        heads = cells.columns("held-out images", "accuracy", "n")
        found.append(Table("Accuracy on held-out images.", heads, rows, "narrow", brief=True))
    if lines := commands(story):
        where = "" if held_back(story) else ", with their SPEC in the place of "
        fair = "The held-out images chose the epoch, so their figures are too high."
        text = f" For a fair figure measure the kept model on images that it has not seen{where}"
        data = () if held_back(story) else (Span("DATA", "code"),)
        found += [Prose((Span(fair, "strong"), text, *data, ":"), "note"), Commands(tuple(lines))]
    return found


def _trained(source: Source) -> list[Block]:
    config, story = source.story.config, source.story
    usable, held = (wording.number(config.images.get(k)) for k in ("usable", "held_out"))
    arch: tuple[str | Span, ...] = ()
    if config.arch != config.model:
        arch = (Span(" architecture ", "soft"), Span(config.arch, "code"))
    images = f": {usable} usable images of {len(config.classes)} classes, {held} of them held out"
    shape = f"{cells.counted(config.shape.channels, 'channel')}, {config.shape.side} × {config.shape.side}"
    facts: list[tuple[str, Text]] = [
        ("model", (Span(config.model, "code"), *arch)),
        ("data", (Span(config.data, "code"), images)),
        ("images", shape),
        ("kept by", CHOSEN_BY[story.chosen_by]),
    ]
    found: list[Block] = [Heading("What was trained", "trained", "Trained"), Facts(tuple(facts))]
    found.append(Heading("Recipes", level=3))
    found += [b for text in config.recipes for b in _recipe(text)] or [
        Prose("No recipe: plain cross-entropy on the images as they are.")
    ]
    found.append(Heading("Options of the loop", level=3))
    chosen = tuple(row for row in options(Training, config.training) if row[1] != row[2])
    if not chosen:
        return [*found, Prose("All are the defaults.")]
    return [*found, option_table("Options of the loop that differ from the defaults.", chosen)]


def _recipe(text: str) -> list[Block]:
    """A recipe as it was given, what it is, and its parameters."""
    name, recipe, known = text.partition(":")[0], recipe_of(text), _known(text.partition(":")[0])
    if known is None:
        about: Text = " No recipe of this name is installed here, so nothing more is known of it."
    else:
        texts = (Span(p, "code") if i % 2 else p for i, p in enumerate(known.summary.split("`")) if p)  # `code`
        about = (" ", *texts, Span(f" {known.reference}", "soft"))
    found: list[Block] = [Prose((Span(text, "strong"), *pieces(about)))]
    rows = () if recipe is None else options(type(recipe), recipe.model_dump(mode="json"))
    return [*found, Details("Its parameters", (option_table(f"Parameters of {name}.", rows),))] if rows else found


def _known(name: str) -> Method | None:
    try:
        return find_method(name, "harden")
    except ParameterError:
        return None


def _curves(source: Source) -> list[Block]:
    story = source.story
    drawn = curves(story)
    if not drawn:
        return []
    text = "What was measured after each epoch. The shade is the 95 % interval of held-out figures."
    if story.chosen is not None and story.chosen >= 0:
        text += " The dotted line is the epoch that is kept."
    if story.threat:
        text += " Where FGSM stops working on training images while PGD still does, training has overfitted to single "
        text += "steps."
    heads = cells.columns("epoch", *map(curve_name, columns(story)))
    rows = tuple(
        (
            f"{r['epoch'] + 1:.0f}{' (kept)' if r['epoch'] == story.chosen else ''}",
            *(cell(c, r) for c in columns(story)),
        )
        for r in story.curves
    )
    table = Table("One row an epoch; seconds and passes are those so far.", heads, rows)
    found = (Heading("Curves", "curves", "Curves"), Prose(text), Plots(tuple(drawn), "half"))
    return [*found, Details("All epochs as a table", (table,))]


def _cost_and_provenance(source: Source) -> list[Block]:
    story = source.story
    cost, config = story.cost, story.config
    an_epoch = wording.seconds(cost["seconds"] / len(story.curves)) if story.curves else ""
    each = Span(f" {an_epoch} an epoch, checks included" if an_epoch else "", "soft")
    spent: list[tuple[str, Text]] = [
        ("forward passes", wording.number(cost["forwards"])),
        ("backward passes", wording.number(cost["backwards"])),
        ("time", (wording.seconds(cost["seconds"]), each)),
        ("processes", str(config.processes)),
    ]
    inner = option_text(config.training.get("inner_precision"))
    places: list[tuple[str, Text]] = [
        ("directory", Span(story.place, "code")),
        ("data fingerprint", Span(config.data_fingerprint[:16], "code")),
        *(("labels", f"version {version}") for version in [config.labels_version] if version),
        ("seed", option_text(config.training.get("seed"))),
        ("precision", f"{option_text(config.training.get('precision'))}; inner search {inner}"),
        *((name, str(text)) for name, text in config.provenance.items()),
    ]
    found: list[Block] = [Heading("Cost", "cost", "Cost"), Facts(tuple(spent), brief=True)]
    return [*found, Heading("Provenance", "provenance", "Provenance"), Facts(tuple(places))]


# What to do next.


def held_back(story: TrainingRun) -> str | None:
    """The SPEC of the test split where the training data is a train split; None where no SPEC is known."""
    base, _, query = story.config.data.partition("?")
    parts = query.split("&")
    if not base or "split=train" not in parts:
        return None
    return f"{base}?{'&'.join('split=test' if p == 'split=train' else p for p in parts)}"


def commands(story: TrainingRun) -> list[str]:
    """Commands that measure the kept model on images that it has not seen."""
    model = spec_of_run(story.place, story.config.arch)
    if story.chosen is None or model is None:
        return []
    about = f"--model {shlex.quote(model)} --data {shlex.quote(held_back(story) or 'DATA')}"
    found = [f"unshaken audit {about}"]
    if story.threat is not None:
        eps, norm = story.threat["eps"], story.threat["norm"]
        found.append(f"unshaken attack {about} --method auto --norm {norm} --eps {show_budget(eps, 12)}")
    return found


# Options of recipes and of the loop.


def option_table(caption: str, rows: tuple[tuple[str, str, str, str], ...]) -> Table:
    """Parameters as a table: option, value, default, what it is."""
    heads = tuple(Column(title, number=False) for title in ("option", "value", "default", "what it is"))
    lines = tuple((Span(name, "code"), value, Span(default, "soft"), about) for name, value, default, about in rows)
    return Table(caption, heads, lines, "narrow")


def options(cls: type[Any], values: dict[str, Any]) -> tuple[tuple[str, str, str, str], ...]:
    """Parameters with value, default and description."""
    found = []
    for name, value in values.items():
        field = cls.model_fields.get(name)
        default = "–"
        if field is not None and not field.is_required():
            default = option_text(field.get_default(call_default_factory=True), name)
        found.append((name, option_text(value, name), default, (field.description or "") if field else ""))
    return tuple(found)


def option_text(value: Any, name: str = "") -> str:
    """A value of an option for people; an `eps` as a fraction where it is one."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return show_budget(value) if name == "eps" else f"{value:g}"
    if isinstance(value, list | tuple):
        return text_of(value) or "none"
    return str(value)


TRAINING = PageKind[Source](
    title=lambda source: f"{source.story.config.model}: training report",
    read=lambda run: Source(read_training(run), read_before_after(run)),
    sections=(_head, _doubts, _repair, _tiles, _held_out, _trained, _curves, _cost_and_provenance),
    footer=FOOTER,
)
