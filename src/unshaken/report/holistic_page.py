"""The page of `holistic`: models with their factors, a table an aspect, and accuracy on factors against accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from unshaken.report import cells
from unshaken.report.blocks import Block, Cell, Column, Details, Facts, Heading, Headline, Page, Table, TableRow, Text
from unshaken.report.holistic_shifts import shift_blocks
from unshaken.report.render.html import render_html
from unshaken.report.render.markdown import render_markdown
from unshaken.store.run_dir import RunDir
from unshaken.tasks.zero_shot.across import FIGURES, read_figures
from unshaken.tasks.zero_shot.aspects import JUDGED_HALF
from unshaken.tasks.zero_shot.model_factors import FACTORS
from unshaken.tasks.zero_shot.record import AUDIT, CUES, DETECT, HolisticRecord

TITLE = "Models over six aspects of robustness"
Found = Mapping[str, Any]
Show = Callable[[dict[str, Any] | None], Cell]


def write_holistic_report(run: RunDir) -> tuple[Page, dict[str, Any]]:
    """Make `figures.json`, `report.html` and `report.md` of a comparison, from rows alone.

    Args:
        run: as `holistic` leaves it.

    Returns:
        The page, and the figures.

    Raises:
        RunError: it holds no comparison, a run beneath is damaged, or the files cannot be written.
    """
    figures = read_figures(run)
    page = holistic_page(HolisticRecord.read(run), figures)
    run.write_json(figures, FIGURES)
    run.write(render_markdown(page).encode(), "report.md")
    run.write(render_html(page).encode(), "report.html")
    return page, figures


def holistic_page(record: HolisticRecord, figures: Found) -> Page:
    """The page.

    Args:
        record: of the comparison.
        figures: as `read_figures` gives them.
    """
    models = figures["models"]
    lead: list[Text] = [f"{cells.counted(len(models), 'model')}, on {record.settings['data']['data'][0]}."]
    if not record.finished:
        lead.append("The comparison is not complete: go on with resume=True.")
    blocks: list[Block] = [Headline(TITLE, tuple(lead), brief=True), _factors(record, models)]
    blocks += _part("Visual factors and shifts", "visual", *shift_blocks(models, figures["shifted"]))
    blocks += _table(
        models, "shape", "Shape bias", "Images whose shape belongs to one class and whose texture to another.",
        {"bias": ("shape / (shape + texture)", cells.share), "cue_share": ("decided for either", cells.share)},
    )  # fmt: skip
    blocks += _abnormal(record, models)
    blocks += _calibration(models)
    blocks += _retrieval(models)
    blocks += _corruptions(models)
    blocks += _table(
        models, "choices", "A language model's choice", "Between the true class and those that the first model takes "
        "for it most: accuracy, on the same images.",
        {"classifier": ("classifier", cells.share), "chooser": ("language model", cells.share),
         "difference": ("difference, points", cells.points)},
    )  # fmt: skip
    blocks += _prompts(models)
    blocks += _groups(figures["groups"])
    return Page(TITLE, (*blocks, *_how(record)), "Made by unshaken from the rows of this folder alone.")


def _rows(models: Found, aspect: str, line: Callable[[Found], Sequence[Cell | Text]]) -> tuple[TableRow, ...]:
    return tuple((name, *line(found[aspect])) for name, found in models.items() if found.get(aspect))


def _part(title: str, anchor: str, *blocks: Block) -> list[Block]:
    return [Heading(title, anchor, title), *blocks] if blocks else []


def _texts(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, number=False) for name in names)


def _table(models: Found, aspect: str, title: str, caption: str, shown: Mapping[str, tuple[str, Show]]) -> list[Block]:
    """The part of an aspect with the same figures for every model."""
    rows = _rows(models, aspect, lambda own: [show(own.get(key)) for key, (_, show) in shown.items()])
    heads = [head for head, _ in shown.values()]
    return _part(title, aspect, Table(caption, cells.columns("model", *heads), rows, brief=True)) if rows else []


def _factors(record: HolisticRecord, models: Found) -> Table:
    heads = [f.replace("_", " ") for f in FACTORS]
    rows = tuple(
        cells.line(
            m.name, cells.share(models[m.name].get("accuracy")), m.factors.line, *(m.factors.value(f) for f in FACTORS)
        )
        for m in record.models
        if m.name in models
    )
    return Table(
        "Models and the factors of their design, as declared.",
        cells.columns("model", "accuracy", *_texts("family", *heads)),
        rows,
        brief=True,
    )


def _abnormal(record: HolisticRecord, models: Found) -> list[Block]:
    sets = list(dict.fromkeys(s for found in models.values() for s in found["abnormal"]))
    if not sets:
        return []
    kinds = {m.name: "MCM" if m.zero_shot else "MSP" for m in record.models}
    rows: tuple[TableRow, ...] = tuple(
        (name, kinds[name], *(cell for s in sets for cell in _areas(found["abnormal"].get(s))))
        for name, found in models.items()
        if found["abnormal"]
    )
    heads = [head for s in sets for head in (f"{s}: AUROC", f"{s}: FPR at 95 %")]
    caption = "Abnormal images: MCM is the softmax of raw cosines at temperature 1, MSP that of the logits."
    return _part(
        "Abnormal images",
        "abnormal",
        Table(caption, cells.columns("model", *_texts("score"), *heads), rows, brief=True),
    )


def _areas(own: Found | None) -> tuple[Cell, Cell]:
    return (Cell(""), Cell("")) if own is None else (cells.value(own["auroc"]), cells.share(own["fpr95"]))


def _calibration(models: Found) -> list[Block]:
    """Before and after the temperature: of half of the data and the further sets, and behind a title of corruptions."""
    known = {name: found["calibration"] for name, found in models.items() if found.get("calibration")}
    if not known:
        return []
    heads = cells.columns("model", *_texts("set"), "T", "ECE", "ECE with T", "NLL", "NLL with T")
    plain, further = list[TableRow](), list[TableRow]()
    for name, own in known.items():
        corrupted = set(own["sets"]) - {JUDGED_HALF} - set(own.get("shifts", ()))
        for key, figures in own["sets"].items():
            four = (cells.value(figures[k]) for k in ("ece", "ece_scaled", "nll", "nll_scaled"))
            (further if key in corrupted else plain).append((name, key, _temperature(own), *four))
    caption = "ECE in 15 bins and NLL in nats. T is fitted on the other half of the data, and judged nowhere there."
    blocks: list[Block] = [Table(caption, heads, tuple(plain), brief=True)]
    if further:
        blocks.append(Details("Under each corruption", (Table(caption, heads, tuple(further)),)))
    return _part("Calibration", "calibration", *blocks)


def _temperature(own: Found) -> str:
    return f"{own['temperature']:.3g}" if own["inside"] else "none fits"


def _retrieval(models: Found) -> list[Block]:
    ways = list(dict.fromkeys((w, k) for f in models.values() for w, own in f["retrieval"].items() for k in own))
    rows = _rows(models, "retrieval", lambda own: [cells.share(own.get(w, {}).get(k)) for w, k in ways])
    heads = [f"{w}: {k.replace('_', ' at ')}" for w, k in ways]
    caption = "An image is found by any of its captions; captions of other images are misses, even of the same words."
    return (
        _part("Retrieval", "retrieval", Table(caption, cells.columns("model", *heads), rows, brief=True))
        if rows
        else []
    )


def _corruptions(models: Found) -> list[Block]:
    known = list(dict.fromkeys(s for found in models.values() for s in found.get("corruptions", {})))
    rows = _rows(models, "corruptions", lambda own: [cells.share(own.get(s)) for s in known])
    caption = "Accuracy by severity, the mean over corruptions."
    table = Table(caption, cells.columns("model", *(f"severity {s}" for s in known)), rows, brief=True)
    return _part("Corruptions", "corruptions", table) if rows else []


def _prompts(models: Found) -> list[Block]:
    def line(own: Found) -> list[Cell | Text]:
        values = [f["value"] for f in own["alone"].values()]
        ends = f"{100 * min(values):.1f} to {100 * max(values):.1f} %"
        return [
            str(len(values)),
            ends,
            f"{100 * own['spread']:.2f}",
            cells.share(own["together"]),
            cells.points(own["gain"]),
        ]

    rows = _rows(models, "prompts", line)
    heads = ("templates", "each alone", "deviation, points", "all together", "gain, points")
    caption = (
        "Prompts: the accuracy with each template alone and with the mean of all; the gain is over the mean template."
    )
    return _part("Prompts", "prompts", Table(caption, cells.columns("model", *heads), rows)) if rows else []


def _groups(groups: Sequence[Found]) -> list[Block]:
    rows = tuple(
        cells.line(
            g["factor"].replace("_", " "), f"{g['one']} less {g['other']}", g["figure"], cells.value(g["difference"])
        )
        for g in groups
    )
    caption = (
        "Groups of models by a factor, at the same accuracy: differences with intervals over models. Groups differ in "
        "other factors as well, so this tells no cause."
    )
    table = Table(caption, (*_texts("factor", "groups", "figure"), Column("difference")), rows)
    return _part("Factors of design", "groups", table) if rows else []


def _how(record: HolisticRecord) -> list[Block]:
    settings = record.settings
    facts: list[tuple[str, Text]] = [("data", settings["data"]["data"][0]), ("seed", str(settings["seed"]))]
    facts += [(m.name, f"runs in {m.key}/: {AUDIT}, {DETECT}, {CUES}") for m in record.models]
    facts += [(f"{m.name}, prompts", "; ".join(m.templates[:3]) + (" ..." if len(m.templates) > 3 else ""))
              for m in record.models if m.templates]  # fmt: skip
    facts += [(f"{m.name}, {name}", f"the choice is among {len(own)} classes alone") for m in record.models
              for name, own in m.within.items()]  # fmt: skip
    return [Heading("How it was found"), Facts(tuple(facts))]
