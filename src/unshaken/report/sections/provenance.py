"""Cost of the run, provenance of its figures, and the samples that were left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.compute as pc
from typing_extensions import override

from unshaken.models.loaders.spec import parse_model_spec
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Details, Facts, Heading, Items, Notice, Prose, Span, Table, Text
from unshaken.report.figures.outcomes import count_classes, not_comparable
from unshaken.report.read.frame import Frame
from unshaken.report.sections import Report, Section, SectionFigures, Source
from unshaken.run import RunConfig
from unshaken.store.run_dir import RunDir

_BAD, _NAMED = 50, 3
"""Samples left out that a page lists, and that its first line names."""
_OF_RANDOM = {
    False: "; equal images are asked once, so the first answer of a random model stands for all",
    True: "; equal images are asked again each time, so a random model shows its spread",
}
"""What a report of a model behind an address says of randomness, by whether it has `?repeat=true`."""


class Provenance(Section):
    """Cost, provenance, notes, samples left out."""

    name = "provenance"
    order = 90

    @override
    def figures(self, source: Source) -> SectionFigures:
        bad = [{"id": b.id, "reason": b.reason} for b in source.frame.bad]
        cost = cost_figures(source.run, source.frame)
        about = provenance_figures(source.run, source.config, source.frame)
        return SectionFigures({"cost": cost, "provenance": about, "bad_samples": bad})

    @override
    def notices(self, report: Report) -> Sequence[Notice]:
        bad, overlap = report.data["bad_samples"], report.data["provenance"].get("seen_in_training")
        known = (Notice((Span("Seen in training", "strong"), ": ", overlap), "provenance"),) if overlap else ()
        if not bad:
            return known
        head = Span(f"{cells.counted(len(bad), 'sample')} left out", "strong")
        more = f"; and {len(bad) - 1} more" if len(bad) > 1 else ""
        return (
            *known,
            Notice((head, ": ", Span(bad[0]["id"], "code"), f" ({bad[0]['reason']}){more}"), "bad"),
        )

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        data = report.data
        remarks = [
            Prose(f"{k}: {data['provenance'][k]}", brief=True) for k in ("labels", "budgets") if data["provenance"][k]
        ]
        return [*remarks, *_cost(data), *_provenance(data), *_bad(data["bad_samples"])]


def _cost(data: Mapping[str, Any]) -> list[Block]:
    cost = data["cost"]
    facts: list[tuple[str, Text]] = [
        ("forward passes", wording.number(cost["forwards"])),
        ("backward passes", wording.number(cost["backwards"])),
        ("time", wording.seconds(cost["seconds"])),
    ]
    if "asked" in cost:
        kept = wording.number(max(0, cost["forwards"] - cost["asked"]))
        about = f" sent to the model's address; {kept} answers were kept ones"
        if (model := data["provenance"]["model"]).startswith(("http://", "https://")):
            about += _OF_RANDOM[parse_model_spec(model).options.get("repeat") == "true"]
        facts.append(("images asked", (wording.number(cost["asked"]), Span(about, "soft"))))
    if cost["overhead"]:
        about = " wall time over time inside the model's passes and the methods' arithmetic"
        facts.append(("overhead", (f"{cost['overhead']:.3f}", Span(about, "soft"))))
    if cost["back_offs"]:
        facts.append(("memory ran out", f"{cost['back_offs']} times; the batch was halved"))
    found: list[Block] = [Heading("Cost", "cost", "Cost"), Facts(tuple(facts))]
    if cost["steps"]:
        heads = cells.columns("step", "forwards", "backwards", "model s", "method s", "wall s", "largest batch")
        rows = tuple(
            (
                step["step"],
                *(wording.number(step[k]) for k in ("forwards", "backwards")),
                *(f"{step[k]:.2f}" for k in ("model_seconds", "method_seconds", "wall_seconds")),
                str(step["largest_batch"]),
            )
            for step in cost["steps"]
        )
        found.append(Details("By step of the plan", (Table("Passes and seconds of each step.", heads, rows),)))
    return found


def _provenance(data: Mapping[str, Any]) -> list[Block]:
    source = data["provenance"]

    def marked(name: str) -> Text:
        fingerprint = Span(source[f"{name}_fingerprint"][:16], "code")
        return (Span(source[name], "code"), Span(" fingerprint ", "soft"), fingerprint)

    limit = f", limited to {source['limit']}" if source["limit"] else ""
    plan = ", ".join(wording.method_name(line["method"]) for line in source["methods"])
    facts: list[tuple[str, Text]] = [
        ("model", marked("model")),
        ("data", marked("data")),
        *(("labels", f"version {version}") for version in [source.get("labels_version")] if version),
        ("samples", f"{source['evaluated']} evaluated of {source['samples']}{limit}"),
        *(("part", f"{part} of the run's shards") for part in [source.get("part")] if part),
        ("view", source["view"] or "the images as they are"),
        ("plan", f"{source['plan']}: {plan}"),
        ("seed", str(source["seed"])),
        ("precision, device", f"{source['precision']}, {source['device']}; every success is checked in float32"),
        *(("protocol", line) for line in source["protocol"]),
        *((name, str(text)) for name, text in source["versions"].items()),
    ]
    found: list[Block] = [Heading("Provenance", "provenance", "Provenance"), Facts(tuple(facts))]
    if data["notes"]:
        found.append(Details("Notes on the figures", (Facts(tuple(data["notes"].items())),)))
    return found


def _bad(bad: Sequence[Mapping[str, Any]]) -> list[Block]:
    if not bad:
        return []
    named = "; ".join(f"{b['id']}: {b['reason']}" for b in bad[:_NAMED])
    text = f"bad samples: {len(bad)} left out: {named}{'; ...' if len(bad) > _NAMED else ''}"
    items: list[Text] = [(Span(b["id"], "code"), f": {b['reason']}") for b in bad[:_BAD]]
    items += [f"and {len(bad) - _BAD} more in summary.json"] if len(bad) > _BAD else []
    found: list[Block] = [Heading("Samples left out", "bad"), Prose(text, "bad", brief=True)]
    return [*found, Items(tuple(items))]


# Figures.


def cost_figures(run: RunDir, frame: Frame) -> dict[str, Any]:
    """Passes, seconds and overhead, from the rows of cost; without these from the samples' own shares."""
    table = run.rows("cost")
    if not len(table):
        total = list(frame.spent.values())
        return {
            "forwards": sum(s.forwards for s in total),
            "backwards": sum(s.backwards for s in total),
            "seconds": sum(s.seconds for s in total),
            "overhead": None,
            "back_offs": None,
            "largest_batch": None,
            "steps": [],
        }
    numbers = ("forwards", "backwards", "model_seconds", "method_seconds", "wall_seconds", "back_offs")
    total_of = {name: pc.sum(table[name]).as_py() or 0 for name in numbers}
    inside = total_of["model_seconds"] + total_of["method_seconds"]
    steps: dict[str, dict[str, Any]] = {}
    for row in table.to_pylist():
        step = steps.setdefault(row["step"], {"step": row["step"], **dict.fromkeys(numbers, 0), "largest_batch": 0})
        for name in numbers:
            step[name] += row[name] or 0
        step["largest_batch"] = max(step["largest_batch"], row["largest_batch"] or 0)
    sent = run.rows("sent")["images"].to_pylist()
    known = {"asked": sum(sent)} if sent else {}
    return {
        **known,
        "forwards": total_of["forwards"],
        "backwards": total_of["backwards"],
        "seconds": total_of["wall_seconds"],
        "overhead": total_of["wall_seconds"] / inside if inside > 0 else None,
        "back_offs": total_of["back_offs"],
        "largest_batch": max(s["largest_batch"] for s in steps.values()),
        "steps": list(steps.values()),
    }


def provenance_figures(run: RunDir, config: RunConfig, frame: Frame) -> dict[str, Any]:
    """Where the figures come from: model, data, plan, seed, versions, and what sets them apart from published ones."""
    protocol = [
        f"{name}: not comparable with published figures ({why})" for name, why in sorted(not_comparable(config).items())
    ]
    if config.from_files:
        made = [c.id for c in frame.conditions if c.severity is not None and c.id not in config.from_files]
        also = f"; made here: {', '.join(made)}" if made else ""
        protocol.append(
            f"images of {cells.counted(len(config.from_files), 'condition')} are files that came with the data{also}"
        )
    labels, scoped = config.labels, config.task != "detection"  # detections of each class are scored by themselves
    return {
        "model": config.model,
        "model_name": config.model_name,
        "model_fingerprint": config.model_fingerprint,
        "data": config.data,
        "data_fingerprint": config.data_fingerprint,
        "labels_version": config.labels_version,
        "plan": config.plan_name,
        "methods": [e.model_dump(mode="json") for e in config.plan],
        "seed": config.seed,
        "samples": len(config.ids),
        "evaluated": len(frame.ids),
        "limit": config.limit,
        "part": config.part,
        "classes": count_classes(run),
        "labels": "" if labels is None else labels.line(config.classes, scoped=scoped),
        "by_position": labels is not None and labels.asked,
        "within": labels.scope(len(config.classes)) if labels is not None and labels.within else "",
        "view": config.view,
        "budgets": config.budgets,
        "seen_in_training": config.seen_in_training,
        "precision": config.precision,
        "device": config.device,
        "protocol": protocol,
        "versions": config.provenance,
    }


section = Provenance()
