"""The page of a training run: what was trained and how, its curves, and the commands that measure the result."""

from __future__ import annotations

import shlex

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import show_budget
from unshaken.core.registry import Method, find_method
from unshaken.harden.engine.training import Training
from unshaken.models.loaders.from_run import spec_of_run
from unshaken.report import cells, wording
from unshaken.report.blocks import (
    Block,
    Commands,
    Details,
    Doubt,
    Facts,
    Flags,
    Heading,
    Headline,
    Page,
    Prose,
    Span,
    Table,
    Text,
    Tile,
    Tiles,
    pieces,
)
from unshaken.report.comparisons import RunComparison
from unshaken.report.drawings import Plots
from unshaken.report.read.training import TrainingRun, recipe_of
from unshaken.report.sections._before_after import before_after, sentence
from unshaken.report.sections._training_curves import cell, columns, curve_name, curves, threat_name
from unshaken.report.sections._training_options import option_table, option_text, options

FOOTER = (
    "Made by unshaken from the directory of this run alone; ",
    Span("unshaken report DIR", "code"),
    " makes it again. Intervals are 95 %: Clopper–Pearson.",
)
WHAT_MAY_HELP = (
    "What may help: more training images, more epochs (--epochs), a smaller budget, as in --recipe trades:eps=2/255, "
    "or a larger loss on unchanged images (--max-clean-loss)."
)
"""What to do where the starting weights are kept."""
CHOSEN_BY = {
    "robust": "held-out robust accuracy",
    "clean": "held-out accuracy",
    "last": "the last epoch",
    "repair": "held-out accuracy under the changes that the audit found to affect the model",
}


def training_page(story: TrainingRun, repaired: RunComparison | None = None) -> Page:
    """The report of a training run.

    Args:
        story: what its directory holds.
        repaired: the audits before and after, of a run that repairs a model.
    """
    model, lead = story.config.model, opening(story)
    if repaired is not None and not story.start_kept:
        lead.append(sentence(repaired))
    found: list[Block] = [Headline(f"Training of the model {model}", (" ".join(lead),), brief=True)]
    if story.flags:
        names = [f["name"].replace("-", " ") for f in story.flags]
        details = [f["detail"].removeprefix(n).lstrip(": ") for n, f in zip(names, story.flags, strict=True)]
        doubts = tuple(map(Doubt, names, details))
        found.append(Flags(doubts, brief=True))
    if story.start_kept:
        found.append(
            Prose((Span("Not repaired:", "strong"), f" {story.start_kept}. {WHAT_MAY_HELP}"), "bad", brief=True)
        )
    if text := unfinished(story):
        found.append(Prose((Span("The run has not ended:", "strong"), f" {text}"), "bad", brief=True))
    found += before_after(repaired, kept=not story.start_kept) if repaired is not None else []
    found += [Heading("Training", "training")] if repaired is not None else []
    found += [Tiles(tuple(_tiles(story))), *_held_out(story), *_trained(story), *_curves(story), *_rest(story)]
    return Page(f"{model}: training report", tuple(found), FOOTER)


def opening(story: TrainingRun) -> list[str]:
    """What happened, in sentences."""
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


def unfinished(story: TrainingRun) -> str:
    """What to know of a run that has not ended; empty for one that has."""
    if story.ended:
        return ""
    done = f"{len(story.curves)} of {cells.counted(story.planned, 'epoch')}" if story.curves else "no epoch"
    verb = "is" if len(story.curves) < 2 else "are"
    return f"{done} {verb} done. Figures are of what is there; the same command with --resume goes on."


def _tiles(story: TrainingRun) -> list[Tile]:
    names = {"held_accuracy": "held-out, unchanged images", "held_robust": f"held-out, {threat_name(story)}"}
    found = []
    for column, figure in story.figures.items():
        under = f"{wording.span(figure)}, {figure['n']:,} images"
        bad = column == "held_robust"
        found.append(Tile(names.get(column, column), wording.percent(figure["value"]), under, bad))
    if story.chosen is not None:
        kept = str(story.chosen + 1) if story.chosen >= 0 else "none"
        found.append(Tile("epoch kept", kept, f"of {len(story.curves)}", bad=story.chosen < 0))
    spent = story.cost["forwards"] + story.cost["backwards"]
    return [*found, Tile("time", wording.seconds(story.cost["seconds"]), f"{wording.number(spent)} passes")]


def _held_out(story: TrainingRun) -> list[Block]:
    """Figures on held-out images, and how to get fair ones."""
    found = list[Block]()
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


def _trained(story: TrainingRun) -> list[Block]:
    config = story.config
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
        about = (" ", *pieces(_coded(known.summary)), Span(f" {known.reference}", "soft"))
    found: list[Block] = [Prose((Span(text, "strong"), *pieces(about)))]
    rows = () if recipe is None else options(type(recipe), recipe.model_dump(mode="json"))
    return [*found, Details("Its parameters", (option_table(f"Parameters of {name}.", rows),))] if rows else found


def _coded(text: str) -> Text:
    """Text of a docstring: what stands between backticks is code."""
    return tuple(Span(p, "code") if i % 2 else p for i, p in enumerate(text.split("`")) if p)


def _known(name: str) -> Method | None:
    try:
        return find_method(name, "harden")
    except ParameterError:
        return None


def _curves(story: TrainingRun) -> list[Block]:
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


def _rest(story: TrainingRun) -> list[Block]:
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
    """What measures the kept model on images that it has not seen."""
    model = spec_of_run(story.place, story.config.arch)
    if story.chosen is None or model is None:
        return []
    about = f"--model {shlex.quote(model)} --data {shlex.quote(held_back(story) or 'DATA')}"
    found = [f"unshaken audit {about}"]
    if story.threat is not None:
        eps, norm = story.threat["eps"], story.threat["norm"]
        found.append(f"unshaken attack {about} --attack auto --norm {norm} --eps {show_budget(eps, 12)}")
    return found
