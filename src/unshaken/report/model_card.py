"""A run as part of a Hugging Face model card: `model-index` metadata, and a section in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from unshaken.core.errors import ParameterError, RunError
from unshaken.report import cells
from unshaken.report.gates.kept import read_gates
from unshaken.report.summary import NAME
from unshaken.store.config import RunConfig, read_config
from unshaken.store.run_dir import RunDir

BEGIN, END = "<!-- unshaken: begin -->", "<!-- unshaken: end -->"
"""What the section stands between, so that a later run can replace it."""
SOURCE = "unshaken"
"""The source of results in `model-index`; results of other sources stay."""
_FRONT = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)


class _Loader(yaml.SafeLoader):
    """Reads `language: no` as a text, which YAML 1.1 takes for `false`: cards are read by YAML 1.2 elsewhere."""

    yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in found if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_TASKS = {
    "classification": "image-classification",
    "segmentation": "image-segmentation",
    "detection": "object-detection",
}


def model_card(run: RunDir, *, card: str = "", name: str | None = None) -> str:
    """Add the results of a run to a model card.

    Args:
        run: its directory, with its summary.
        card: the card that is there, YAML front matter and Markdown; empty for none.
        name: of the model in `model-index`; None for the name that the card has there, or the run's.

    Returns:
        The card with the results of this run in the place of those of an earlier one; everything else stays.

    Raises:
        RunError: there is no run, or it is not finished.
        ParameterError: the card's front matter is no table in YAML.
    """
    if not run.exists(NAME):
        raise RunError(f"{run}: no {NAME}; make it with 'unshaken report {run}'")
    config, summary = read_config(run), run.read_json(NAME)
    summary["gates"] = [result.to_json() for result in read_gates(run).results]
    if not summary.get("complete", True):
        raise RunError(f"{run}: the run is not finished, so that its figures may change: finish it with --resume first")
    front, body = _parts(card)
    index = _index(front.get("model-index"), name, config.model_name, list(results(config, summary)))
    front["model-index"] = index
    front.setdefault("tags", [])
    if isinstance(front["tags"], list) and "robustness" not in front["tags"]:
        front["tags"] = [*front["tags"], "robustness"]
    text = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=1000)
    block = f"{BEGIN}\n{section(config, summary)}\n{END}"
    before, begin, rest = body.partition(BEGIN)
    if begin and END in rest:
        body = f"{before}{block}{rest.partition(END)[2]}"
    else:
        body = f"{body.rstrip()}\n\n{block}\n".lstrip("\n")
    return f"---\n{text}---\n{body}"


def results(config: RunConfig, summary: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The entries of `model-index`: one for each condition with its figures."""
    version = str(config.provenance.get("unshaken", ""))
    for condition, figures in _by_condition(summary):
        dataset = {
            "name": config.data if condition == "clean" else f"{config.data} under {condition}",
            "type": config.data,
            "config": condition,
            "revision": config.data_fingerprint[:12],
        }
        metrics = [
            {
                "type": kind,
                "value": round(float(figure["value"]), 6),
                "name": f"{kind.replace('_', ' ').capitalize()}, {condition}",
                "args": {
                    **{end: round(float(figure[end]), 6) for end in ("low", "high") if figure.get(end) is not None},
                    "n": figure["n"],
                },
            }
            for kind, figure in figures.items()
        ]
        task = {"type": _TASKS.get(config.task, config.task), "name": config.task.capitalize()}
        source = {"name": f"{SOURCE} {version}".strip(), "url": "https://unshaken.readthedocs.io"}
        yield {"task": task, "dataset": dataset, "metrics": metrics, "source": source}


def section(config: RunConfig, summary: Mapping[str, Any]) -> str:
    """The section of a card: figures with their intervals, doubts, and how they were measured."""
    lines = ["## Robustness", ""]
    lines += ["| condition | figure | value | 95 % interval | images |", "|---|---|---|---|---|"]
    for condition, figures in _by_condition(summary):
        for kind, f in figures.items():
            ends = "" if f.get("low") is None or f.get("high") is None else f"{f['low']:.1%} to {f['high']:.1%}"
            lines.append(f"| {_cell(condition)} | {kind.replace('_', ' ')} | {f['value']:.1%} | {ends} | {f['n']:,} |")
    for name in ("mce", "worst_case"):
        figure = summary["aggregates"].get(name)
        if figure and figure.get("value") is not None:
            lines.append(f"| all corruptions and attacks | {name.replace('_', ' ')} | {figure['value']:.1%} | | |")
    gates = [f"- **{g['state']}**: {_cell(g['gate'])} ({_cell(g['detail'])})" for g in summary.get("gates", ())]
    lines += ["", "Gates, the conditions that the model had to meet:", "", *gates] if gates else []
    flags = [f"- **{_cell(f['name'])}**: {_cell(f['detail'])}" for f in summary["flags"]]
    lines += ["", "Doubts that the run raised:", "", *flags] if flags else []
    about = f"`{config.data}`, {cells.counted(len(config.ids), 'image')}, plan `{config.plan_name}`, seed {config.seed}"
    lines += ["", f"Measured by [unshaken](https://unshaken.readthedocs.io) on {about}."]
    return "\n".join(lines)


def _by_condition(summary: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Mapping[str, Any]]]]:
    """Each condition with its figures that have a value."""
    clean = summary.get("clean")
    listed = summary.get("conditions", [])
    if (
        isinstance(clean, Mapping)
        and clean.get("value") is not None
        and not any(c["condition"] == "clean" for c in listed)
    ):
        yield "clean", {"accuracy": clean}
    for entry in listed:
        figures = {
            key: value
            for key, value in entry.items()
            if isinstance(value, Mapping) and value.get("value") is not None and "n" in value
        }
        if figures:
            yield str(entry["condition"]), figures


def _parts(card: str) -> tuple[dict[str, Any], str]:
    """The front matter and the rest of a card."""
    found = _FRONT.match(card)
    if found is None:
        return {}, card
    try:
        front = yaml.load(found[1], _Loader)
        yaml.safe_dump(front)
    except RecursionError:
        raise ParameterError("the card's front matter is nested too deeply: write it flatter") from None
    except (yaml.YAMLError, ValueError) as error:  # such as the 31st of February
        raise ParameterError(f"the card's front matter is no YAML ({' '.join(str(error).split())[:200]})") from None
    if not isinstance(front, dict | None):
        raise ParameterError("the card's front matter is no table: write lines such as license: mit")
    return front or {}, card[found.end() :]


def _index(old: Any, name: str | None, otherwise: str, new: list[dict[str, Any]]) -> list[Any]:
    """`model-index` with the results of this package replaced in the entry `name` (None: the first); others stay.

    `otherwise` is the name of the model where neither `name` nor the card gives one.
    """
    entries = list(old) if isinstance(old, list) else []
    named = [k for k, one in enumerate(entries) if isinstance(one, Mapping) and name in (None, one.get("name"))]
    only = [0] if len(entries) == 1 and isinstance(entries[0], Mapping) else []  # `name` gives it another name
    if not (place := named or only):
        return [*entries, {"name": name or otherwise, "results": new}]
    entry = entries[place[0]]
    listed = entry.get("results")
    kept = [one for one in listed if not _is_own(one)] if isinstance(listed, list) else []
    entries[place[0]] = {**entry, "name": name or entry.get("name") or otherwise, "results": [*kept, *new]}
    return entries


def _is_own(result: Any) -> bool:
    """Whether a result of `model-index` is one that this package has written."""
    source = result.get("source") if isinstance(result, Mapping) else None
    return isinstance(source, Mapping) and str(source.get("name", "")).startswith(SOURCE)


def _cell(text: str) -> str:
    """A text as it can stand in a table and between comments: one line, no bars, no markup."""
    plain = " ".join(text.split()).replace("|", "\\|")
    return plain.replace("<", "&lt;").replace(">", "&gt;")
