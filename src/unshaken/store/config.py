"""`run.json`: everything that decides a run's rows (`RunConfig`), and what its reports need of methods and labels."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from unshaken.core.consent import remember_code
from unshaken.core.documents import validate
from unshaken.core.errors import ParameterError, RunError
from unshaken.core.label_record import LabelRecord
from unshaken.core.numbers import LARGEST_SEED
from unshaken.core.part import MODEL
from unshaken.core.registry import find_method, remember_titles
from unshaken.core.values import strict_values
from unshaken.store.run_dir import RunDir
from unshaken.store.sample_ids import SampleIds, StoredIds
from unshaken.store.split import parse_part, shards_of_part

NAME = "run.json"
UNFINISHED = "unfinished"
"""File in the directory of a run that has begun; removed when its flags are written and its pictures chosen."""
MOST_STRENGTHS = 1000
"""Severities or budgets of a line of a plan, each of which is a condition of the run."""


class Entry(BaseModel):
    """One line of a plan: a method with its parameters and its severities or budgets.

    Args:
        method: a registry name.
        params: the method's parameters.
        severities: for stressors; empty for all that the method has.
        eps: budgets of attacks, numbers or fractions such as `8/255`.
        norm: of the budgets; None for the first that the method has.
        target: of attacks, the class to reach: `least-likely`, `second`, `next`, `random`, a class, or a column of the
            data that names it; None for any class but the label.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: str
    params: dict[str, Any] = Field(default_factory=dict)
    severities: tuple[int, ...] = ()
    eps: tuple[float, ...] = ()
    norm: str | None = None
    target: str | None = Field(default=None, min_length=1, max_length=200)

    @model_serializer(mode="wrap")
    def _as_before(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As earlier versions wrote it, where there is no target: it decides what a run is, and whether it goes on."""
        return {key: value for key, value in serialize(self).items() if value is not None or key != "target"}

    @model_validator(mode="before")
    @classmethod
    def _strict(cls, values: Any) -> Any:
        return strict_values(cls, values) if isinstance(values, dict) else values

    @field_validator("target", mode="before")
    @classmethod
    def _class_number(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("eps", "severities", mode="before")
    @classmethod
    def _few(cls, value: Any) -> Any:
        if isinstance(value, list | tuple) and len(value) > MOST_STRENGTHS:
            raise ValueError(f"{len(value):,} values are given: a line of a plan has {MOST_STRENGTHS} at most")
        return value

    def build(self) -> Any:
        """The method with its parameters.

        Raises:
            ParameterError: name or parameters are not known.
        """
        return find_method(self.method).cls.from_text(self.params)


class MethodRecord(BaseModel):
    """Record of a method, for reports.

    Args:
        room: it stands in.
        tags: such as `group` for a family of corruptions.
        apart: group of its outcomes where these are answers of something else than the model, such as `certificate`.
        title: its name on pages; None for the words of its name.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    room: str
    tags: dict[str, str] = Field(default_factory=dict)
    apart: str | None = None
    title: str | None = None


class StepRecord(BaseModel):
    """Record of a line of a plan, for reports.

    Args:
        method: its name.
        conditions: ids of the conditions that it makes.
        subject: which predictor their rows evaluate; see `unshaken.run.flags`.
        radii: sizes at which certificates were asked for.
        parameters: of the method, defaults filled in.
        label: the line's name, which no other line has; empty in runs of earlier versions.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    method: str
    conditions: list[str]
    subject: str = MODEL
    radii: list[float] = Field(default_factory=list)
    parameters: dict[str, Any] = Field(default_factory=dict)
    label: str = ""


class RunConfig(BaseModel):
    """The configuration of a run.

    Args:
        model: SPEC.
        data: SPEC.
        plan: its lines.
        plan_name: what the plan was called.
        seed: the run seed.
        ids: of the samples, in order; a list, or of more than a million a sequence that reads files beside `run.json`.
        shard_size: samples a shard.
        eot: passes whose gradients attacks average, for models with randomness of their own.
        precision: of the search; every judgement is float32.
        device: where it ran; results do not depend on it but for rounding.
        save_examples: pictures kept a condition; -1 for all.
        model_fingerprint: of weights and code.
        further_models: SPECs of models and of data, and names of files and folders, that methods name, such as a
            surrogate or masks, and the fingerprint of each.
        data_fingerprint: of the content, labels included.
        labels_version: name of the labels that replaced those of the data (`?labels=FILE`), such as of a review; None
            otherwise.
        model_name: what reports call it.
        classes: names in logit order.
        labels: how the data's classes became the model's; None without labels, and in runs of earlier versions.
        view: how photos were cut, in words.
        parameters: numbers in the model's parameters; None where they are not known, and in runs of earlier versions.
        budgets: which budgets of a named plan fit the data, and why, in one line.
        limit: of samples, if one was given.
        part: `K/N` where this directory holds the K-th of N parts of the shards only; see `unshaken.store.split`.
        provenance: versions and machine; may differ on resuming.
        beside: runs, relative to this one, that reports show side by side with it.
        inside: runs in folders of this one that belong to it, such as those on abnormal images.
        methods: what reports need of the methods of the plan, by name; empty in runs of earlier versions.
        steps: what reports need of its lines; as `methods`.
        seen_in_training: one sentence where the network has or probably has learned from the data; empty otherwise.
        from_files: ids of the conditions whose images came with the data as files; those of others are made.
        task: what the model's outputs mean; see `unshaken.run.task`.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    schema_: Literal[1] = Field(default=1, alias="schema", serialization_alias="schema")
    model: str
    data: str
    plan: list[Entry]
    plan_name: str = "custom"
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    ids: SampleIds
    shard_size: int = Field(ge=1, le=1_000_000)
    eot: int = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    device: str = "cpu"
    save_examples: int = 20
    model_fingerprint: str
    data_fingerprint: str
    labels_version: str | None = None
    model_name: str
    classes: list[str] = Field(default_factory=list)
    labels: LabelRecord | None = None
    view: str = ""
    parameters: int | None = Field(default=None, ge=1)
    budgets: str = ""
    limit: int | None = Field(default=None, ge=1, le=LARGEST_SEED)
    part: str | None = None
    provenance: dict[str, Any] = Field(default_factory=dict)
    beside: list[str] = Field(default_factory=list)
    inside: list[str] = Field(default_factory=list)
    further_models: dict[str, str] = Field(default_factory=dict)
    methods: dict[str, MethodRecord] = Field(default_factory=dict)
    steps: list[StepRecord] = Field(default_factory=list)
    seen_in_training: str = ""
    from_files: list[str] = Field(default_factory=list)
    task: str = "classification"

    @field_validator("part")
    @classmethod
    def _known_part(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parse_part(value)
            except ParameterError as error:
                raise ValueError(str(error)) from None
        return value

    @property
    def shards(self) -> int:
        """How many shards the samples make."""
        return -(-len(self.ids) // self.shard_size)

    @property
    def own_shards(self) -> range:
        """The shards that are computed here: all of them, or those of `part`."""
        return shards_of_part(self.part, self.shards)

    @property
    def own_samples(self) -> int:
        """The number of samples in `own_shards`."""
        own = self.own_shards
        short = self.shards * self.shard_size - len(self.ids) if self.shards - 1 in own else 0
        return len(own) * self.shard_size - short

    def shard_slice(self, shard: int) -> slice:
        """The places of one shard's samples in `ids`."""
        return slice(shard * self.shard_size, (shard + 1) * self.shard_size)

    def shard_ids(self, shard: int) -> list[str]:
        """The samples of one shard."""
        return list(self.ids[self.shard_slice(shard)])

    @property
    def identity(self) -> str:
        """32 hexadecimal digits that two runs share exactly when all that decides their rows is the same."""
        values = self.to_json()
        text = json.dumps({name: values[name] for name in DECIDING}, sort_keys=True)
        return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """As written to `run.json`."""
        return self.model_dump(mode="json", by_alias=True)


MAY_DIFFER = {
    "provenance",
    "device",
    "model",
    "data",
    "beside",
    "plan_name",
    "limit",
    "view",
    "parameters",
    "methods",
    "steps",
    "budgets",
    "model_name",
    "from_files",
    "labels_version",
    "seen_in_training",
    "task",
}
"""What does not decide the rows, or follows from what does: from a fingerprint, or from the plan."""


DECIDING = (
    *("model_fingerprint", "further_models", "data_fingerprint", "ids", "labels", "classes"),
    *("plan", "seed", "shard_size", "eot", "precision"),
)
"""What decides rows: files of rows that differ in one of these are of two runs."""


def read_config(run: RunDir) -> RunConfig:
    """The configuration of a run directory, which from here on knows its rows from another run's.

    Raises:
        RunError: there is none, or it is damaged.
    """
    if not run.exists(NAME):
        raise RunError(f"{run}: not a run directory (no run.json)")
    config = validate(RunConfig, run.read_json(NAME), f"{run}: {NAME}", RunError, "start a new run")
    if isinstance(config.ids, StoredIds):
        config.ids.run = run
    remember_code((config.plan, config.further_models), f"{run}/{NAME}")
    remember_titles({name: method.title for name, method in config.methods.items() if method.title})
    run.identify(config.identity)
    return config


def check_same(run: RunDir, old: RunConfig, new: RunConfig) -> None:
    """Refuse to resume with another configuration.

    Raises:
        RunError: with each difference named.
    """
    if differences := find_differences(old, new):
        raise RunError(
            f"{run}: cannot resume with another configuration ({'; '.join(differences)}); choose another --out"
        )


def find_differences(old: RunConfig, new: RunConfig) -> list[str]:
    """Each difference between two configurations that one run directory may not mix, in words."""
    before, now = old.to_json(), new.to_json()
    found = list[str]()
    if _built_by(old.model) != _built_by(new.model):
        found += _differences("model", old.model, new.model)
    if old.view and new.view and old.view != new.view:  # the same weights on photos that were cut otherwise
        found += _differences("view", old.view, new.view)
    for key in before:
        if key not in MAY_DIFFER and before[key] != now[key]:
            found += _differences(key, before[key], now[key])
    return found


def _built_by(model: str) -> str:
    """The factory of a `py:` SPEC, for its file may have several; empty of other SPECs, whose fingerprint says it."""
    head = model.partition("?")[0]
    return head.rpartition(":")[2] if head.startswith("py:") else ""


def _differences(key: str, there: Any, now: Any) -> list[str]:
    """The difference of one field in words; of a field with entries by name, of each that differs."""
    if key != "ids" and isinstance(there, dict) and isinstance(now, dict) and there.keys() == now.keys():
        return [f"{key}: the content of {n!r} is another one" for n in there if there[n] != now[n]]
    return [f"{key}: {_short(there)} there, {_short(now)} now"]


def _short(value: Any) -> str:
    text = f"{len(value)} entries" if isinstance(value, list) and len(str(value)) > 80 else str(value)
    if isinstance(value, dict) and "blocks" in value:  # ids that stand in files
        text = f"{value['count']} entries ({value['blocks'][0][:8]}...)"
    return text if len(text) <= 80 else text[:77] + "..."
