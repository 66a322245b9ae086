"""`RunRecord`: what the list says of a run, read from its directory with little trust."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from unshaken.core.documents import validate
from unshaken.core.errors import RunError, UnshakenError
from unshaken.core.numbers import parse_number
from unshaken.core.texts import first_line, parse_values, printable
from unshaken.report.gates.kept import read_gates
from unshaken.serve.site.cost import NO_COST, Cost, describe_work, read_cost
from unshaken.serve.site.figure import own_figure
from unshaken.store.run_dir import RunDir
from unshaken.store.sample_ids import IdRecord

KINDS = {
    "run.json": "audit",
    "harden.json": "harden",
    "evaluate.json": "evaluate",
    "explain.json": "explain",
    "labels.json": "labels",
    "service.json": "service",
    "result.json": "paper",
}
"""The record that a command leaves in its folder, and what the list calls such a run; the first that is there wins."""
SUMMARY = "summary.json"
LONGEST = 300
"""Characters that the list keeps of a text."""
MOST_SETTINGS = 100
LARGEST = 1e12
M = TypeVar("M", bound=BaseModel)


class State(StrEnum):
    """How far a run came, and whether its files can be read."""

    FINISHED = "finished"
    UNFINISHED = "unfinished"
    DAMAGED = "damaged"
    PART = "part"
    """A run that a finished or unfinished one keeps inside, such as one on abnormal images; the list leaves it out."""


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class _Method(_Lenient):
    room: str = ""


class _Step(_Lenient):
    method: str = ""
    conditions: list[str] = Field(default_factory=list)
    parameters: dict[str, Any] = Field(default_factory=dict)


class _Entry(_Lenient):
    method: str = ""
    params: dict[str, Any] = Field(default_factory=dict)
    severities: list[Any] = Field(default_factory=list)
    eps: list[Any] = Field(default_factory=list)


class _Config(_Lenient):
    model: str = ""
    model_name: str = ""
    data: str = ""
    data_fingerprint: str = ""
    plan_name: str = ""
    task: str = "classification"
    classes: list[str] = Field(default_factory=list)
    seed: int = 0
    ids: list[str] | IdRecord = Field(default_factory=list)
    methods: dict[str, _Method] = Field(default_factory=dict)
    steps: list[_Step] = Field(default_factory=list)
    inside: list[str] = Field(default_factory=list)
    plan: list[_Entry] = Field(default_factory=list)
    parameters: Any = None
    provenance: dict[str, Any] = Field(default_factory=dict)


class _Figure(_Lenient):
    value: float | None = None


class _Summary(_Lenient):
    complete: bool = True
    clean: _Figure | None = None
    aggregates: dict[str, _Figure | None] = Field(default_factory=dict)
    flags: list[Any] = Field(default_factory=list)
    bad_samples: list[Any] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run in a line of the list.

    Args:
        kind: of the command that made it, such as `audit`, `attack` or `harden`.
        state: how far it came.
        trouble: why it is damaged; empty otherwise.
        model: name of the model.
        data: SPEC of the data.
        model_spec: SPEC of the model.
        data_key: fingerprint of the data: runs that share it can be compared sample by sample.
        plan: name of the plan.
        task: what the model's outputs mean.
        samples: of the run.
        conditions: of the run.
        clean: accuracy on unchanged images, or what takes its place; None where there is none.
        worst: worst-case accuracy; None where there is none.
        flags: reasons to doubt a figure.
        bad: samples that could not be used.
        gates: their verdict, `held`, `failed`, `undecided` or `none`; see `unshaken.report.gates.kept`.
        figure: the one that its kind is made for; see `unshaken.serve.site.figure`.
        classes: digest of the names of the model's classes; empty without any.
        cost: what it took, of a finished run.
        settings: seed, budgets and other numbers by which runs of a model differ, by name, and `commit` of the code.
        above: folders up to the run that keeps this one inside; 0 for a run of its own.
    """

    kind: str
    state: State = State.FINISHED
    trouble: str = ""
    model: str = ""
    data: str = ""
    model_spec: str = ""
    data_key: str = ""
    plan: str = ""
    task: str = ""
    samples: int = 0
    conditions: int = 0
    clean: float | None = None
    worst: float | None = None
    flags: int = 0
    bad: int = 0
    gates: str = "none"
    figure: str = ""
    classes: str = ""
    cost: Cost = NO_COST
    settings: dict[str, float | str] = field(default_factory=dict, repr=False)
    above: int = 0
    words: tuple[str, ...] = field(default=(), repr=False)

    @property
    def search(self) -> str:
        """Everything that a search looks at, in lower case."""
        shown = (self.kind, self.state, self.model, self.model_spec, self.data, self.plan, self.task, *self.words)
        return " ".join(part for part in shown if part).casefold()


def read_record(run: RunDir, name: str) -> RunRecord:
    """The record of a run; one that is damaged says so and is no error.

    Args:
        run: the directory.
        name: of its record, a key of `KINDS`.
    """
    try:
        return _read_run(run) if name == "run.json" else _read_other(run, name)
    except UnshakenError as error:
        return RunRecord(KINDS[name], State.DAMAGED, clip(first_line(error)))


def clip(text: str) -> str:
    """A text of a stranger as the list keeps it: printable, one line, not long."""
    line = printable(" ".join(text.split())).encode("utf-8", "backslashreplace").decode()
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _read_run(run: RunDir) -> RunRecord:
    config = _parse(run, "run.json", _Config)
    held = run.read_json(SUMMARY) if run.exists(SUMMARY) else None
    summary = validate(_Summary, {"complete": False} if held is None else held, f"{run}: {SUMMARY}", RunError)
    kind, above = _kind_of(config), 0 if summary.complete else _levels_up(run)
    worst = summary.aggregates.get("worst_case") or summary.aggregates.get("worst_natural")
    return RunRecord(
        kind=kind,
        state=State.FINISHED if summary.complete else State.PART if above else State.UNFINISHED,
        model=clip(config.model_name or config.model),
        data=_spec(config.data),
        model_spec=_spec(config.model),
        data_key=clip(config.data_fingerprint[:64])[:64],
        plan=clip(config.plan_name),
        task=clip(config.task),
        samples=config.ids.count if isinstance(config.ids, IdRecord) else len(config.ids),
        conditions=1 + sum(len(step.conditions) for step in config.steps),
        clean=_value(summary.clean),
        worst=_value(worst),
        flags=len(summary.flags),
        bad=len(summary.bad_samples),
        gates=read_gates(run).verdict,
        figure=own_figure(kind, held) if isinstance(held, dict) else "",
        classes=_digest(config.classes),
        cost=_cost(kind, config, held) if summary.complete else NO_COST,
        settings=_settings_of_evaluation(config),
        above=above,
        words=tuple(clip(name) for name in [*config.methods][:50]),
    )


def _cost(kind: str, config: _Config, summary: Any) -> Cost:
    """The cost of an evaluation: an image, and of one method an image under a condition."""
    samples = config.ids.count if isinstance(config.ids, IdRecord) else len(config.ids)
    if kind == "audit":
        return read_cost(summary, f"audit {describe_work(clip(config.plan_name))}", samples)
    if len(config.steps) != 1:
        return NO_COST
    step = config.steps[0]
    work = f"{kind} {describe_work(clip(step.method), step.parameters)}"
    return read_cost(summary, work, samples * max(1, len(step.conditions)))


def _cost_of_training(record: dict[str, Any]) -> Cost:
    """The cost of a training: an image and epoch."""
    result, images, recipes = (record.get(name) for name in ("result", "images", "recipes"))
    usable = images.get("usable") if isinstance(images, dict) else None
    epochs = result.get("epochs") if isinstance(result, dict) else None
    if not isinstance(usable, int) or not isinstance(epochs, int) or not isinstance(recipes, list):
        return NO_COST
    return read_cost(result, f"harden {describe_work(clip('+'.join(map(str, recipes))))}", usable * epochs)


def _settings_of_evaluation(config: _Config) -> dict[str, float | str]:
    """The settings of an evaluation; a budget or severity is one where a method has a single one."""
    named: list[tuple[str, Any]] = [("seed", config.seed), ("model parameters", config.parameters)]
    budgets = {str(one) for entry in config.plan for one in entry.eps}
    named += [("eps", one) for one in budgets if len(budgets) == 1]
    for entry in config.plan:
        for name, values in (("eps", entry.eps), ("severity", entry.severities)):
            named += [(f"{entry.method} {name}", one) for one in values if len(values) == 1]
        named += [(f"{entry.method} {name}", value) for name, value in entry.params.items()]
    return _settings(named, config.provenance)


def _settings_of_training(record: dict[str, Any]) -> dict[str, float | str]:
    """The settings of a training: of its loop and recipes, and the budget of the attacks on held-out images."""
    training, result, recipes, provenance = (record.get(k) for k in ("training", "result", "recipes", "provenance"))
    threat = result.get("threat") if isinstance(result, dict) else None
    named = list(training.items()) if isinstance(training, dict) else []
    named += [("eps", threat.get("eps"))] if isinstance(threat, dict) else []
    for one in recipes if isinstance(recipes, list) else ():
        try:
            name, values = parse_values(one if isinstance(one, str) else "")
        except UnshakenError:
            continue
        named += [(f"{name} {key}", value) for key, value in values.items()]
    return _settings(named, provenance if isinstance(provenance, dict) else {})


def _settings(named: Sequence[tuple[str, Any]], provenance: dict[str, Any]) -> dict[str, float | str]:
    """Those of named values that are numbers, the first of each name, and the commit; of a stranger."""
    found = dict[str, float | str]()
    if isinstance(commit := provenance.get("commit"), str) and commit:
        found["commit"] = clip(commit[:60])
    for name, value in named:
        number = _number(value)
        if number is not None and len(found) < MOST_SETTINGS:
            found.setdefault(clip(str(name)[:60]), number)
    return found


def _number(value: Any) -> float | None:
    """A number as JSON has it, or a text such as `8/255`; None for others and for numbers that no axis holds."""
    try:
        number = parse_number(value) if isinstance(value, str) else value
    except UnshakenError:
        return None
    if isinstance(number, bool) or not isinstance(number, int | float) or not -LARGEST <= number <= LARGEST:
        return None
    return float(number)


def _digest(names: list[str]) -> str:
    """A text that is the same for the same names in the same order; empty for none."""
    return hashlib.blake2b("\n".join(names).encode("utf-8", "replace"), digest_size=12).hexdigest() if names else ""


def _levels_up(run: RunDir) -> int:
    """How many folders up a run stands that names this one as its part; 0 for none."""
    above, _, name = run.path.rstrip("/").rpartition("/")
    for levels in (1, 2):
        try:
            if name in _parse(RunDir(above), "run.json", _Config).inside:
                return levels
        except UnshakenError:  # no run is there, or one that cannot be read
            pass
        above, _, folder = above.rpartition("/")
        name = f"{folder}/{name}"
    return 0


def _value(figure: _Figure | None) -> float | None:
    """The value of a figure; None where there is none, or no number that has a place in an order."""
    return figure.value if figure is not None and figure.value is not None and math.isfinite(figure.value) else None


def _spec(text: str) -> str:
    """A SPEC as it stands, for runs that are started with it; empty where the list would have to change it."""
    return text if clip(text) == text else ""


def _read_other(run: RunDir, name: str) -> RunRecord:
    """The record of a run that is no evaluation: what it names of a model and data is shown, whatever else it holds."""
    value = run.read_json(name)
    found = value if isinstance(value, dict) else {}
    if name == "result.json" and "slug" not in found:
        raise RunError(f"{run}: {name} is damaged (it names no paper)")

    def text(*keys: str) -> str:
        return next((clip(v) for key in keys if isinstance(v := found.get(key), str)), "")

    done = run.exists("report.html") or name == "result.json"
    return RunRecord(
        kind=KINDS[name],
        state=State.FINISHED if done else State.UNFINISHED,
        model=text("model_name", "model", "arch"),
        model_spec=_spec(text("model", "arch")),
        data=_spec(text("data")),
        data_key=text("data_fingerprint")[:64] if name == "harden.json" else "",
        plan=text("slug", "recipe", "method", "kind"),
        figure=own_figure(KINDS[name], found),
        cost=_cost_of_training(found) if name == "harden.json" and done else NO_COST,
        settings=_settings_of_training(found) if name == "harden.json" else {},
    )


def _kind_of(config: _Config) -> str:
    """`attack`, `certify` or `detect` where all methods are of that room; else `audit`."""
    rooms = {method.room for method in config.methods.values()}
    return rooms.pop() if len(rooms) == 1 and rooms <= {"attack", "certify", "detect"} else "audit"


def _parse(run: RunDir, name: str, model: type[M]) -> M:
    return validate(model, run.read_json(name), f"{run}: {name}", RunError)
