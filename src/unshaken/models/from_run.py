"""`run:DIR`: a model that `save_model` wrote, such as the chosen checkpoint of a hardening run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import save_file

from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import ModelError
from unshaken.models.architectures import build_for
from unshaken.models.kinds import model_kind
from unshaken.models.spec import ModelSpec
from unshaken.models.weights import load_weights, read_weights


class ViewRecord(BaseModel):
    """`View` as it stands in `model.json`."""

    model_config = ConfigDict(extra="forbid")

    height: int
    width: int
    resize: int | None = None
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    channels: Literal[1, 3] = 3


class ModelOptions(BaseModel):
    """What a classifier is beside its weights."""

    model_config = ConfigDict(extra="forbid")

    mean: list[float] | None = None
    std: list[float] | None = None
    classes: list[str] = []
    view: ViewRecord | None = None


class ModelRecord(BaseModel):
    """The content of `model.json`."""

    model_config = ConfigDict(extra="forbid")

    arch: str
    options: ModelOptions = ModelOptions()


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
    view = classifier.view
    record = ModelRecord(
        arch=arch,
        options=ModelOptions(
            mean=None if classifier.mean is None else classifier.mean.flatten().tolist(),
            std=None if classifier.std is None else classifier.std.flatten().tolist(),
            classes=list(classifier.classes),
            view=None
            if view is None
            else ViewRecord.model_validate({f: getattr(view, f) for f in ViewRecord.model_fields}),
        ),
    )
    tensors = {k: v.detach().cpu().contiguous() for k, v in classifier.net.state_dict().items()}
    save_file(tensors, directory / f".{weights}.new")
    os.replace(directory / f".{weights}.new", directory / weights)
    (directory / ".model.json.new").write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    os.replace(directory / ".model.json.new", directory / "model.json")


@model_kind("run", form="run:DIR")
def load(spec: ModelSpec, download: bool) -> Classifier:
    """The model in a directory of `save_model`; its architecture is looked up by name, never imported from there.

    Raises:
        ModelError: the directory holds no such model, or its files are damaged.
    """
    directory = Path(spec.name)
    path = directory / "model.json"
    if not path.is_file():
        raise ModelError(
            f"no model in {spec.name!r}: a run of 'unshaken harden' holds model.json and model.safetensors"
        )
    try:
        record = ModelRecord.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        raise ModelError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, OSError) as error:
        raise ModelError(f"{path} is damaged: {error}") from None
    weights = read_weights(directory / "model.safetensors")
    net, _ = build_for(record.arch, weights)
    load_weights(net, weights, directory / "model.safetensors")
    options = record.options
    return Classifier(
        net,
        mean=options.mean,
        std=options.std,
        classes=options.classes,
        view=None if options.view is None else View(**options.view.model_dump()),
        name=f"run:{spec.name}",
    )
