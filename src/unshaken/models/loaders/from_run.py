"""`run:DIR`: a model that `save_model` wrote, such as the chosen checkpoint of a hardening run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import save_file
from torch import Tensor, nn

from unshaken.core.classifier import Classifier, Fit, View
from unshaken.core.consent import is_code, is_named, refuse_code
from unshaken.core.documents import parse_json, validate
from unshaken.core.errors import ModelError
from unshaken.core.numbers import MAX_CLASSES, MAX_SIDE
from unshaken.core.registry import parse_method
from unshaken.models.loaders.kinds import find_kind, model_kind
from unshaken.models.loaders.spec import ModelSpec, parse_model_spec
from unshaken.models.loaders.weights import load_weights, read_weights
from unshaken.models.networks.architectures import SMALL, build, build_for

Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
"""Pixels."""


class ViewRecord(BaseModel):
    """`View` as it stands in `model.json`."""

    model_config = ConfigDict(extra="forbid")

    height: Side
    width: Side
    resize: Side | None = None
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    channels: Literal[1, 3] = 3
    fit: Fit = "cut"


class ModelOptions(BaseModel):
    """Properties of a classifier besides its weights."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    mean: list[float] | None = None
    std: list[float] | None = None
    classes: list[str] = []
    view: ViewRecord | None = None


class ShapeRecord(BaseModel):
    """Arguments of a network that its weights do not show: see `unshaken.models.networks.architectures.build`."""

    model_config = ConfigDict(extra="forbid")

    classes: int = Field(ge=1, le=MAX_CLASSES)
    channels: int = Field(ge=1, le=64)
    side: Side


class ModelRecord(BaseModel):
    """The content of `model.json`.

    Args:
        arch: as in `weights:FILE?arch=NAME`, or the SPEC `py:FILE:FACTORY` of the user's own net.
        options: what a classifier is beside its weights.
        shape: needed where recipes changed the structure.
        recipes: `NAME[:k=v,...]` of those that gave the net a structure of their own, in order.
    """

    model_config = ConfigDict(extra="forbid")

    schema_: Literal[1] = Field(default=1, alias="schema", serialization_alias="schema")
    arch: str
    options: ModelOptions = ModelOptions()
    shape: ShapeRecord | None = None
    recipes: list[str] = []


def save_model(classifier: Classifier, directory: Path | str, *, arch: str, weights: str = "model.safetensors") -> None:
    """Write a classifier so that `run:DIR` loads it: `model.json` and the weights, each whole or not at all.

    Args:
        classifier: its net must be of the architecture `arch`.
        directory: made if absent.
        arch: as in `weights:FILE?arch=NAME`.
        weights: the name of the weights' file.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    save_file(tensors_of(classifier), directory / f".{weights}.new")
    os.replace(directory / f".{weights}.new", directory / weights)
    record = record_of(classifier, arch=arch)
    (directory / ".model.json.new").write_text(record.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")
    os.replace(directory / ".model.json.new", directory / "model.json")


def tensors_of(classifier: Classifier) -> dict[str, Tensor]:
    """The weights as they are written: on the CPU, each on its own."""
    return {k: v.detach().cpu().contiguous().clone() for k, v in classifier.net.state_dict().items()}


def record_of(
    classifier: Classifier, *, arch: str, shape: ShapeRecord | None = None, recipes: Sequence[str] = ()
) -> ModelRecord:
    """The record of a classifier; see `ModelRecord`."""
    view = classifier.view
    return ModelRecord(
        arch=arch,
        options=ModelOptions(
            mean=None if classifier.mean is None else classifier.mean.flatten().tolist(),
            std=None if classifier.std is None else classifier.std.flatten().tolist(),
            classes=list(classifier.classes),
            view=None
            if view is None
            else ViewRecord.model_validate({f: getattr(view, f) for f in ViewRecord.model_fields}),
        ),
        shape=shape,
        recipes=list(recipes),
    )


@model_kind("run", form="run:DIR", options=("net", "file"))
def load(spec: ModelSpec, download: bool) -> Classifier:
    """The model in a directory of `save_model` or of a hardening run.

    Its architecture is looked up by name, never imported from there. Where the net is the user's own, its `py:` SPEC
    must be given again in the same call, as the option `net`, for loading it runs that file. Option `file` takes other
    weights of the run, such as `last.safetensors`.

    Raises:
        ModelError: the directory holds no such model, or its files are damaged.
    """
    directory = Path(spec.name)
    record = _record(spec)
    path = directory / spec.options.get("file", "model.safetensors")
    weights = read_weights(path)
    net = _net(record, spec, weights)
    options = record.options
    model = Classifier(
        net,
        mean=options.mean,
        std=options.std,
        classes=options.classes,
        view=None if options.view is None else View(**options.view.model_dump()),
        name=f"run:{spec.name}",
    )
    for text in record.recipes:
        recipe = parse_method(text, "harden")
        if not hasattr(recipe, "rebuild"):
            raise ModelError(f"{directory}: model.json is damaged ({text!r} is no recipe for training)")
        model = recipe.rebuild(model)
    load_weights(model.net, weights, path)
    return model


def read_record(directory: Path | str) -> ModelRecord:
    """Read `model.json` of a directory.

    Raises:
        ModelError: it is absent or damaged.
    """
    path = Path(directory) / "model.json"
    if not path.is_file():
        raise ModelError(
            f"no model in {str(directory)!r}: a run of 'unshaken harden' holds model.json and model.safetensors"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from None
    return validate(ModelRecord, parse_json(data, str(path), ModelError), str(path), ModelError)


def _record(spec: ModelSpec) -> ModelRecord:
    record = read_record(spec.name)
    refuse_code(record.recipes, f"{spec.name}/model.json")
    if is_code(record.arch) and not is_named(record.arch):
        raise ModelError(
            f"the net in {spec.name!r} is built by {record.arch!r}, which loading would execute: allow it, "
            f"as in {shlex.quote(spec_of_run(spec.name, record.arch) or f'run:{spec.name}?net=py:FILE:FACTORY')}"
        )
    return record


def spec_of_run(directory: Path | str, arch: str) -> str | None:
    """The SPEC that loads the model in a directory; None where no SPEC can say it.

    >>> spec_of_run("runs/at", "small-cnn"), spec_of_run("runs/at", "py:net.py:make")
    ('run:runs/at', 'run:runs/at?net=py:net.py:make')

    Args:
        directory: of the run.
        arch: as in its `model.json`; an object of a program (`py:<Net>`) is known to that program alone.
    """
    own = arch.startswith("py:")
    if "?" in str(directory) or (own and (arch.startswith("py:<") or set(arch) & set("?&"))):
        return None
    return f"run:{directory}{f'?net={arch}' if own else ''}"


def _check_size(arch: str, shape: ShapeRecord, weights: Mapping[str, Tensor], spec: ModelSpec) -> None:
    """Refuse a shape that makes a far larger net than the file's weights are, before it is built."""
    if arch not in SMALL:
        return
    with torch.device("meta"):
        wanted = sum(p.numel() for p in build(arch, **shape.model_dump()).parameters())
    there = sum(w.numel() for w in weights.values())
    if wanted > 4 * there + 10_000_000:
        raise ModelError(
            f"{spec.name}: model.json is damaged (its shape makes a net of {wanted:,} numbers, and the weights are "
            f"{there:,}): train the model again"
        )


def _net(record: ModelRecord, spec: ModelSpec, weights: Mapping[str, Tensor]) -> nn.Module:
    if is_code(record.arch):
        own = parse_model_spec(record.arch)
        return find_kind(own.kind).open(own, False).net
    if record.shape is not None:
        _check_size(record.arch, record.shape, weights, spec)
        return build(record.arch, **record.shape.model_dump())
    return build_for(record.arch, weights)[0]
