"""Cues that a model uses: bars of cues by class, accuracies without a cue, simplicity by layer, example stimuli."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Column, Details, Prose, Table, Text
from unshaken.report.drawings import Exhibit, Gallery, Picture
from unshaken.report.figures import pictures
from unshaken.report.figures.plots import difference_strips
from unshaken.store.run_dir import RunDir

Found = Mapping[str, Any]


def blocks(run: RunDir, name: str, found: Found) -> list[Block]:
    """Make the part of the page for one analysis of biases.

    Args:
        run: as `unshaken explain` leaves it.
        name: of the condition.
        found: its entry in `explain.json`.
    """
    extra, figures = found["extra"], found["figures"]
    shown: list[Block] = []
    if "by_class" in extra:
        shown += _cues(extra, figures)
    if any(key.startswith("accuracy.") for key in figures):
        shown += _accuracies(extra, figures)
    if "ratios" in extra:
        shown += _smoothness(extra, figures)
    if "proxies" in extra:
        shown += _kinds(extra, figures)
    if "detectors" in extra:
        shown += _detectors(extra, figures)
    return [*shown, *_stimuli(run, name, extra)]


def _cues(extra: Found, figures: Found) -> list[Block]:
    """The share of decisions for the first cue, in all and by its class, with counts."""
    first, second = extra["cues"]
    models: Sequence[str] = extra["models"]
    text = (
        f"Images with two cues of different classes. A bar is the share of decisions for {first} of those for either "
        f"cue; below it stand the decisions for {first}, for {second} and for neither. A model at chance can have any "
        "share: look at the counts."
    )
    whole = []
    for model in models:
        counts = extra["counts"][model]
        bias, cues = (figures.get(f"{key}.{model}") for key in ("bias", "cue_share"))
        change = cells.points(figures.get(f"difference.{model}"))
        whole.append(cells.line(model, cells.share(bias, bar=True), cells.share(cues), _counts(counts), change))
    heads = cells.columns(
        "model", f"for {first}", "for either cue", Column(f"{first}, {second}, neither"),
        Column("difference", "points, to the first model"),
    )  # fmt: skip
    heads = heads if len(models) > 1 else heads[:-1]
    rows = tuple(row[: len(heads)] for row in whole)
    names = list(extra["by_class"][models[0]])
    by_class = tuple(cells.line(c, *(_bar(extra["by_class"][m].get(c, (0, 0, 0))) for m in models)) for c in names)
    caption = f"Decisions for {first}, by the class that it shows."
    return [
        Prose(text),
        Table(
            f"Which cue decides, with 95 % intervals over the {sum(extra['counts'][models[0]]):,} images.", heads, rows
        ),
        Table(caption, cells.columns(f"class of {first}", *models), by_class),
    ]


def _counts(counts: Sequence[int]) -> str:
    return ", ".join(f"{n:,}" for n in counts)


def _bar(counts: Sequence[int]) -> Cell:
    """The share of the first cue as a bar, with the counts below; a dash where no decision is for a cue."""
    cues = counts[0] + counts[1]
    if not cues:
        return Cell("–", note=_counts(counts))
    return Cell(wording.percent(counts[0] / cues, 0), note=_counts(counts), bar=counts[0] / cues)


def _accuracies(extra: Found, figures: Found) -> list[Block]:
    """Accuracy of each model under each stimulus, and paired differences from the first model."""
    models: Sequence[str] = extra["models"]
    keys = [key.removeprefix(f"accuracy.{models[0]}.") for key in figures if key.startswith(f"accuracy.{models[0]}.")]
    words = extra.get("words", {})
    rows = []
    for key in keys:
        values = [cells.share(figures.get(f"accuracy.{m}.{key}"), bar=True) for m in models]
        changes = [cells.points(figures.get(f"difference.{m}.{key}")) for m in models[1:]] if _paired(figures) else []
        rows.append(cells.line(Cell(key, note=words.get(key, "")), *values, *changes))
    n = figures[f"accuracy.{models[0]}.{keys[0]}"]["n"]
    compared = [Column(f"{m} minus {models[0]}", "points, paired") for m in models[1:]] if _paired(figures) else []
    found: list[Block] = [
        Table(
            f"Accuracy on the same {n:,} images, with 95 % intervals.",
            cells.columns("images", *models, *compared),
            tuple(rows),
        )
    ]
    found += _differences(models, keys, figures)
    gaps = [cells.line(m, *(cells.points(figures.get(f"{k}.{m}")) for k in ("gap", "gap_difference"))) for m in models]
    if f"gap.{models[0]}" in figures:
        heads = cells.columns("model", "gap in points", f"minus that of {models[0]}" if len(models) > 1 else None)
        caption = "Accuracy on backgrounds of the same class less that on backgrounds of other classes."
        found.append(Table(caption, heads, tuple(row[: len(heads)] for row in gaps)))
    return found


def _differences(models: Sequence[str], keys: Sequence[str], figures: Found) -> list[Block]:
    """Differences of accuracy from the first model as dots with bands, on an axis that holds the largest."""
    found = {(m, k): d for m in models[1:] for k in keys if (d := figures.get(f"difference.{m}.{k}"))}
    if not found:
        return []
    rows = []
    for (model, key), d in found.items():
        tone = "better" if d["low"] > 0 else "worse" if d["high"] < 0 else "level"
        rows.append((key, model if len(models) > 2 else "", d, tone, ()))
    whose = models[1] if len(models) == 2 else "the other models"
    caption = (
        f"Accuracy of {whose} minus that of {models[0]} in percentage points, paired, with 95 % intervals. Hollow: no "
        "significant difference."
    )
    return [difference_strips(caption, "images", rows)]


def _paired(figures: Found) -> bool:
    return any(key.startswith("difference.") and figures[key]["n"] for key in figures)


def _smoothness(extra: Found, figures: Found) -> list[Block]:
    """The factor by which noise raises the variation of each layer's maps, and its outliers."""
    models: Sequence[str] = extra["models"]
    kernels = tuple(cells.line(m, wording.number(extra["kernel_tv"][m])) for m in models)
    rows = []
    for place in range(max(len(layers) for layers in extra["layers"].values())):
        line: list[Cell | Text] = []
        for model in models:
            layer = extra["layers"][model][place] if place < len(extra["layers"][model]) else ""
            line.append(_ratio(extra, figures, model, layer))
        rows.append(
            cells.line(extra["layers"][models[0]][place] if place < len(extra["layers"][models[0]]) else "", *line)
        )
    caption = (
        f"Total variation of a layer's maps under noise of deviation {extra['noise']:g}, as a multiple of that without."
    )
    return [
        Table(
            "Total variation of the first filters, each of norm 1.", cells.columns("model", "mean"), kernels, "narrow"
        ),
        Table(caption, cells.columns("layer", *models), tuple(rows)),
    ]


def _ratio(extra: Found, figures: Found, model: str, layer: str) -> Cell:
    figure = figures.get(f"tv_ratio.{model}.{layer}")
    if figure is None:
        return Cell("")
    shown = cells.value(figure)
    return Cell(shown.text, shown.interval, note=cells.counted(len(extra["outliers"][f"{model}.{layer}"]), "outlier"))


def _kinds(extra: Found, figures: Found) -> list[Block]:
    """How different the top images of channels are, by each proxy."""
    models: Sequence[str] = extra["models"]
    rows = []
    for proxy, words in extra["proxies"].items():
        for place in range(max(len(layers) for layers in extra["layers"].values())):
            layers = {m: names[place] if place < len(names) else "" for m, names in extra["layers"].items()}
            values = [cells.value(figures.get(f"{proxy}.{m}.{layers[m]}")) for m in models]
            rows.append(cells.line(Cell(f"{layers[models[0]]}: {proxy}", note=words), *values))
    caption = f"The {extra['k']} images that activate a channel most: means over channels, with 95 % intervals."
    return [Table(caption, cells.columns("layer and proxy", *models), tuple(rows))]


def _detectors(extra: Found, figures: Found) -> list[Block]:
    """Detectors of each category by model and layer."""
    rows = []
    for model, layers in extra["detectors"].items():
        rows += [
            cells.line(
                f"{model}: {layer}",
                *(str(counts[c]) for c in extra["categories"]),
                cells.share(figures.get(f"low_level.{model}.{layer}"), bar=True),
            )
            for layer, counts in layers.items()
        ]
    heads = cells.columns("model and layer", *extra["categories"], Column("colours and textures", "of the detectors"))
    return [
        Table(f"Units that detect a concept, with an IoU above {extra['least']:g} in every model.", heads, tuple(rows))
    ]


def _stimuli(run: RunDir, name: str, extra: Found) -> list[Block]:
    """A few images of each stimulus, those of one sample below each other."""
    stimuli: Mapping[str, Sequence[str]] = extra.get("stimuli", {})
    if not stimuli or not run.exists("arrays", f"{name}.safetensors"):
        return []
    held = run.read_tensors("arrays", f"{name}.safetensors").tensors
    words, exhibits, size, small = extra.get("words", {}), [], 0, False
    for stimulus, ids in stimuli.items():
        images = held.get(f"examples.{stimulus}")
        if images is None:
            continue
        shown = [
            Picture(pictures.address(image), f"{stimulus}: sample {i}")
            for i, image in zip(ids, _unit(images), strict=True)
        ]
        size += sum(len(p.address) for p in shown)
        if size > pictures.BUDGET:
            break
        small = max(images.shape[2:]) < pictures.SIDE
        exhibits.append(Exhibit(tuple(shown), (stimulus, words.get(stimulus, ""))))
    return [Details("Example stimuli", (Gallery(tuple(exhibits), small),), open=True)] if exhibits else []


def _unit(images: Tensor) -> Tensor:
    return images.float() / 255
