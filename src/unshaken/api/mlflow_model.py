"""A model with its detectors as a folder that `mlflow.pyfunc.load_model` reads; nothing is unpickled."""

from __future__ import annotations

import platform
import shutil
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.consent import is_code, refuse_code
from unshaken.core.documents import parse_json, validate
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.core.version import __version__
from unshaken.detect.engine.detector_folder import BANKS, LIST
from unshaken.detect.engine.detector_set import DetectorSet
from unshaken.models import load_model
from unshaken.models.loaders.from_run import read_record
from unshaken.models.loaders.spec import ModelSpec, parse_model_spec

CARD, DETECTORS, HERE = "unshaken.json", "detectors", "HERE/"
"""In the folder `data`: what the model is, its detectors, and how a SPEC names that folder."""


class ModelCard(BaseModel):
    """The content of `data/unshaken.json`.

    Args:
        model: SPEC; `HERE/` stands for the folder of this file.
        detectors: whether fitted detectors stand beside it.
        accept: share of normal images that a detector accepts at least.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    schema_: Literal[1] = Field(default=1, alias="schema", serialization_alias="schema")
    model: str
    detectors: bool = False
    accept: float = Field(default=0.95, gt=0, lt=1)


def check_kept(model: object) -> ModelSpec:
    """The parsed SPEC of a model that can be kept outside this program.

    Raises:
        ParameterError: it is an object, or runs code of its own.
    """
    spec = parse_model_spec(model) if isinstance(model, str) else None
    own = spec is None or is_code(str(model))
    if spec is not None and spec.kind == "run":
        own = is_code(read_record(spec.name).arch)
    if spec is None or own:
        raise ParameterError(
            f"model {model if isinstance(model, str) else type(model).__name__!r} is code of your own, which is not "
            "copied to a registry: register a model whose SPEC names weights, such as run:DIR, onnx:FILE or timm:NAME"
        )
    return spec


def write_model(folder: Path, model: str, *, detectors: str | None = None, accept: float = 0.95) -> None:
    """Write a model as a folder that MLflow can load, with copies of the files that its SPEC names.

    Args:
        folder: made if absent.
        model: SPEC.
        detectors: folder of `unshaken detect fit`; None for none.
        accept: share of normal images that a detector accepts at least.

    Raises:
        ParameterError: see `check_kept`.
    """
    spec, data = check_kept(model), folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    options, name = dict(spec.options), spec.name
    if spec.kind == "run":
        (data / "model").mkdir(exist_ok=True)
        shutil.copyfile(Path(name, "model.json"), data / "model" / "model.json")
        weights = options.pop("file", "model.safetensors")
        shutil.copyfile(Path(name, weights), data / "model" / "model.safetensors")
        name = f"{HERE}model"
    elif name and Path(name).is_file():
        shutil.copyfile(name, data / Path(name).name)
        name = f"{HERE}{Path(name).name}"
    if "classes" in options and Path(options["classes"]).is_file():
        shutil.copyfile(options["classes"], data / "classes.txt")
        options["classes"] = f"{HERE}classes.txt"
    for file in (LIST, BANKS) if detectors is not None else ():
        (data / DETECTORS).mkdir(exist_ok=True)
        shutil.copyfile(Path(str(detectors), file), data / DETECTORS / file)
    card = ModelCard(
        schema=1, model=str(ModelSpec(spec.kind, name, options)), detectors=detectors is not None, accept=accept
    )
    (data / CARD).write_text(card.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")
    about: dict[str, Any] = {
        "artifact_path": "model",
        "flavors": {
            "python_function": {
                "loader_module": __name__,
                "data": "data",
                "python_version": platform.python_version(),
            },
            "unshaken": {"version": __version__, "model": model},
        },
        "model_uuid": uuid.uuid4().hex,
        "utc_time_created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
    }
    (folder / "MLmodel").write_text(yaml.safe_dump(about, sort_keys=False), encoding="utf-8")
    (folder / "requirements.txt").write_text(f"unshaken>={__version__}\n", encoding="utf-8")


class GuardedModel:
    """A classifier with its detectors, as MLflow serves it.

    Args:
        model: the classifier.
        detectors: fitted on it; None for none.
        accept: share of normal images that a detector accepts at least.
    """

    def __init__(self, model: Classifier, detectors: DetectorSet | None, accept: float) -> None:
        self.model, self.detectors, self.accept = model, detectors, accept

    def predict(self, images: Any, params: dict[str, Any] | None = None) -> dict[str, np.ndarray[Any, Any]]:
        """Classify images and screen them.

        Args:
            images: array of numbers in [0, 1], `[N, C, H, W]`.
            params: none are known.

        Returns:
            `class` `[N]` (names, else numbers), `probability` `[N, K]`; for each detector `score.NAME` and
            `accepted.NAME` `[N]`.

        Raises:
            DataError: the images are not of that form.
        """
        if params:
            raise DataError(f"parameter {next(iter(params))!r} is not known: this model takes none")
        array = np.asarray(images, dtype=np.float32)
        if array.ndim != 4 or not ((array >= 0) & (array <= 1)).all():
            raise DataError(f"images of shape {array.shape} must be [N, C, H, W] with numbers in [0, 1]")
        batch = torch.from_numpy(array)
        with evaluating(self.model), torch.no_grad():
            probabilities = self.model(batch).softmax(1)
        numbers = probabilities.argmax(1).numpy()
        names = np.array(self.model.classes)
        found: dict[str, np.ndarray[Any, Any]] = {
            "class": names[numbers] if len(names) else numbers,
            "probability": probabilities.numpy(),
        }
        if self.detectors is not None:
            for label, scores in self.detectors.score(batch).items():
                found[f"score.{label}"] = scores.cpu().numpy()
                threshold = self.detectors.threshold(label, self.accept).value
                found[f"accepted.{label}"] = found[f"score.{label}"] <= threshold
        return found


def load_folder(data: Path) -> GuardedModel:
    """The model of a folder `data` that `write_model` wrote.

    Raises:
        ModelError: there is none, or it names code that the caller did not.
    """
    where = str(data / CARD)
    if not Path(where).is_file():
        raise ModelError(f"{where} is absent: this is no model that unshaken registered")
    card = validate(ModelCard, parse_json(Path(where).read_bytes(), where, ModelError), where, ModelError)
    refuse_code(card.model, where)
    model = load_model(card.model.replace(HERE, f"{data}/"))
    detectors = DetectorSet.load(data / DETECTORS, model) if card.detectors else None
    return GuardedModel(model, detectors, card.accept)


def _load_pyfunc(path: str) -> GuardedModel:
    """Load the model; MLflow calls this with the path of the folder `data`."""
    return load_folder(Path(path))
