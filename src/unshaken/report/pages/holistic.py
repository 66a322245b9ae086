"""The aspects on the page of `unshaken evaluate zero-shot`: factors of the models, and a table an aspect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from unshaken.report import cells
from unshaken.report.blocks import (
    Block,
    Cell,
    Column,
    Details,
    Facts,
    Heading,
    Prose,
    Table,
    TableRow,
    Text,
)
from unshaken.report.drawings import Plot, Plots, Point, Trace
from unshaken.report.figures.plots import STYLES, outline, point
from unshaken.store.run_dir import RunDir
from unshaken.tasks.evaluation import EvaluationRecord
from unshaken.tasks.zero_shot.across import FIGURES, LEAST
from unshaken.tasks.zero_shot.aspects import JUDGED_HALF
from unshaken.tasks.zero_shot.model_factors import FACTORS
from unshaken.tasks.zero_shot.record import AUDIT, CUES, DETECT, HolisticRecord

SHOWN_PLOTS = 12
Found = Mapping[str, Any]
Show = Callable[[dict[str, Any] | None], Cell]


class Source(NamedTuple):
    """Source of the sections: the record of the comparison, and the figures of `read_figures`."""

    record: HolisticRecord
    figures: dict[str, Any]

    @property
    def models(self) -> dict[str, Any]:
        """Figures by model and aspect."""
        found: dict[str, Any] = self.figures["models"]
        return found


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


def _factors(source: Source) -> list[Block]:
    record, models = source.record, source.models
    heads = [f.replace("_", " ") for f in FACTORS]
    rows = tuple(
        cells.line(
            m.name, cells.share(models[m.name].get("accuracy")), m.factors.line, *(m.factors.value(f) for f in FACTORS)
        )
        for m in record.models
        if m.name in models
    )
    columns = cells.columns("model", "accuracy", *_texts("family", *heads))
    return [Table("Models and the factors of their design, as declared.", columns, rows, brief=True)]


def _shifts(source: Source) -> list[Block]:
    """Accuracy, error ratio and effective robustness by factor, and a scatter with the lines of families."""
    models, shifted = source.models, source.figures["shifted"]
    factors = list(dict.fromkeys(f for found in models.values() for f in found.get("visual", {})))
    blocks: list[Block] = []
    if factors:
        rows = _rows(models, "visual", lambda own: [cells.share((own.get(f) or {}).get("accuracy")) for f in factors])
        caption = "Accuracy on the images of each factor."
        blocks.append(Table(caption, cells.columns("model", *factors), rows, brief=True))
        rows = _rows(
            models, "visual", lambda own: [cells.value((own.get(f) or {}).get("error_ratio")) for f in factors]
        )
        caption = "Error on the images of each factor over the error on all images: above 1 is harder."
        blocks.append(Table(caption, cells.columns("model", *factors), rows))
    beyond = {name: own["effective"] for name, own in shifted.items() if own["effective"]}
    if beyond:
        rows = tuple(
            (name, *(cells.points((own.get(name) or {}).get("rho")) for own in beyond.values())) for name in models
        )
        caption = (
            "Effective robustness in points: accuracy less what Huber's line of the baseline models foretells; the "
            "interval is that of the line."
        )
        blocks.append(Table(caption, cells.columns("model", *beyond), rows))
        drawn = [_scatter(name, models, own) for name, own in list(shifted.items())[:SHOWN_PLOTS]]
        blocks.append(Plots(tuple(drawn), "half"))
    elif shifted:
        blocks.append(
            Prose(f"Lines and effective robustness need {LEAST} other models of different accuracy at least.")
        )
    return _part("Visual factors and shifts", "visual", *blocks)


def _scatter(name: str, models: Found, own: Found) -> Plot:
    """Accuracy under a shift against accuracy, and a line for each family."""
    traces, words = [], []
    left = set(own["accuracy"])
    for style, (family, line) in enumerate([*own["lines"].items(), ("other models", None)]):
        members = [m for m in own["accuracy"] if m in left and (line is None or m in line["models"])]
        left -= set(members)
        marks = tuple(_mark(m, models, own["accuracy"][m]) for m in members)
        ends = ""
        if line is not None:
            at = [(100 * x, 100 * (1 - min(max(line["intercept"] + line["slope"] * x, 0.0), 1.0))) for x in (0.0, 1.0)]
            ends = outline(at)
            words.append(f"{family}: {line['intercept']:.3f} + {line['slope']:.3f} accuracy")
        if marks:
            traces.append(Trace(family, style % STYLES, marks, ends))
    ticks = tuple((float(t), str(t)) for t in range(0, 101, 25))
    title = f"Accuracy: {name}, %"
    return Plot(title, "accuracy on all images, %", ticks, tuple(traces), None, f"{title}. {'; '.join(words)}")


def _mark(name: str, models: Found, value: float) -> Point:
    x = models[name]["accuracy"]["value"]
    return point(100 * x, {"value": value, "low": value, "high": value}, f"{name}: {value:.1%} at {x:.1%}")


def _shape(source: Source) -> list[Block]:
    caption = "Images whose shape belongs to one class and whose texture to another."
    shown = {"bias": ("shape / (shape + texture)", cells.share), "cue_share": ("decided for either", cells.share)}
    return _table(source.models, "shape", "Shape bias", caption, shown)


def _abnormal(source: Source) -> list[Block]:
    record, models = source.record, source.models
    sets = list(dict.fromkeys(s for found in models.values() for s in found["abnormal"]))
    if not sets:
        return []
    kinds = {m.name: "MCM" if m.zero_shot else "MSP" for m in record.models}
    rows: list[TableRow] = []
    for name, found in models.items():
        if found["abnormal"]:
            own = [found["abnormal"].get(s) for s in sets]
            pairs = ((cells.value(f and f["auroc"]), cells.share(f and f["fpr95"])) for f in own)
            rows.append((name, kinds[name], *(cell for pair in pairs for cell in pair)))
    heads = [head for s in sets for head in (f"{s}: AUROC", f"{s}: FPR at 95 %")]
    caption = "Abnormal images: MCM is the softmax of raw cosines at temperature 1, MSP that of the logits."
    return _part(
        "Abnormal images",
        "abnormal",
        Table(caption, cells.columns("model", *_texts("score"), *heads), tuple(rows), brief=True),
    )


def _calibration(source: Source) -> list[Block]:
    """Before and after the temperature: of half of the data and the further sets, and behind a title of corruptions."""
    known = {name: found["calibration"] for name, found in source.models.items() if found.get("calibration")}
    if not known:
        return []
    heads = cells.columns("model", *_texts("set"), "T", "ECE", "ECE with T", "NLL", "NLL with T")
    plain, further = list[TableRow](), list[TableRow]()
    for name, own in known.items():
        corrupted = set(own["sets"]) - {JUDGED_HALF} - set(own.get("shifts", ()))
        for key, figures in own["sets"].items():
            four = (cells.value(figures[k]) for k in ("ece", "ece_scaled", "nll", "nll_scaled"))
            temperature = f"{own['temperature']:.3g}" if own["inside"] else "none fits"
            (further if key in corrupted else plain).append((name, key, temperature, *four))
    caption = "ECE in 15 bins and NLL in nats. T is fitted on the other half of the data, and judged nowhere there."
    blocks: list[Block] = [Table(caption, heads, tuple(plain), brief=True)]
    if further:
        blocks.append(Details("Under each corruption", (Table(caption, heads, tuple(further)),)))
    return _part("Calibration", "calibration", *blocks)


def _retrieval(source: Source) -> list[Block]:
    models = source.models
    ways = list(dict.fromkeys((w, k) for f in models.values() for w, own in f["retrieval"].items() for k in own))
    rows = _rows(models, "retrieval", lambda own: [cells.share(own.get(w, {}).get(k)) for w, k in ways])
    heads = [f"{w}: {k.replace('_', ' at ')}" for w, k in ways]
    caption = "An image is found by any of its captions; captions of other images are misses, even of the same words."
    return (
        _part("Retrieval", "retrieval", Table(caption, cells.columns("model", *heads), rows, brief=True))
        if rows
        else []
    )


def _corruptions(source: Source) -> list[Block]:
    models = source.models
    known = list(dict.fromkeys(s for found in models.values() for s in found.get("corruptions", {})))
    rows = _rows(models, "corruptions", lambda own: [cells.share(own.get(s)) for s in known])
    caption = "Accuracy by severity, the mean over corruptions."
    table = Table(caption, cells.columns("model", *(f"severity {s}" for s in known)), rows, brief=True)
    return _part("Corruptions", "corruptions", table) if rows else []


def _choices(source: Source) -> list[Block]:
    caption = "Between the true class and those that the first model takes for it most: accuracy, on the same images."
    shown = {
        "classifier": ("classifier", cells.share), "chooser": ("language model", cells.share),
        "difference": ("difference, points", cells.points),
    }  # fmt: skip
    return _table(source.models, "choices", "A language model's choice", caption, shown)


def _prompts(source: Source) -> list[Block]:
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

    rows = _rows(source.models, "prompts", line)
    heads = ("templates", "each alone", "deviation, points", "all together", "gain, points")
    caption = (
        "Prompts: the accuracy with each template alone and with the mean of all; the gain is over the mean template."
    )
    return _part("Prompts", "prompts", Table(caption, cells.columns("model", *heads), rows)) if rows else []


def _groups(source: Source) -> list[Block]:
    rows = tuple(
        cells.line(
            g["factor"].replace("_", " "), f"{g['one']} less {g['other']}", g["figure"], cells.value(g["difference"])
        )
        for g in source.figures["groups"]
    )
    caption = (
        "Groups of models by a factor, at the same accuracy: differences with intervals over models. Groups differ in "
        "other factors as well, so this tells no cause."
    )
    table = Table(caption, (*_texts("factor", "groups", "figure"), Column("difference")), rows)
    return _part("Factors of design", "groups", table) if rows else []


def _how(source: Source) -> list[Block]:
    record = source.record
    facts: list[tuple[str, Text]] = [(m.name, f"runs in {m.key}/: {AUDIT}, {DETECT}, {CUES}") for m in record.models]
    facts += [(f"{m.name}, prompts", "; ".join(m.templates[:3]) + (" ..." if len(m.templates) > 3 else ""))
              for m in record.models if m.templates]  # fmt: skip
    facts += [(f"{m.name}, {name}", f"the choice is among {len(own)} classes alone") for m in record.models
              for name, own in m.within.items()]  # fmt: skip
    return [Details("Runs beneath", (Facts(tuple(facts)),))]


SECTIONS = (
    _factors, _shifts, _shape, _abnormal, _calibration, _retrieval, _corruptions, _choices, _prompts, _groups, _how,
)  # fmt: skip


def zero_shot_blocks(run: RunDir, _: EvaluationRecord) -> list[Block]:
    """The aspects on the page of `unshaken evaluate zero-shot`, of its figures and the record of its models.

    Args:
        run: as the evaluation leaves it.
    """
    source = Source(HolisticRecord.read(run), run.read_json(FIGURES))
    return [block for section in SECTIONS for block in section(source)]
