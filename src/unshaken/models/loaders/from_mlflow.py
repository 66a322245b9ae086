"""`mlflow:FOLDER` and `mlflow:models:/NAME/VERSION`: any model that MLflow saved as a Python function. A black box."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError, near_path
from unshaken.core.imports import need
from unshaken.core.quiet_mlflow import quiet_mlflow
from unshaken.core.texts import first_line
from unshaken.models.loaders.from_function import OPTIONS, function_of_spec
from unshaken.models.loaders.kinds import model_kind
from unshaken.models.loaders.spec import ModelSpec

REGISTRY = ("models:/", "runs:/")
"""How names begin that MLflow itself looks up."""


@model_kind("mlflow", form="mlflow:FOLDER_OR_URI", options=("scores", *OPTIONS))
def load(spec: ModelSpec, download: bool) -> Classifier:
    """Load a model by `mlflow.pyfunc`, which runs the code that was saved with it.

    Its `predict` gets images in [0, 1] as a NumPy array. The options `output`, which is needed, and `layout` are those
    of `from_function`. Of an answer with several entries `scores` names the one to read.

    Raises:
        ParameterError: the SPEC does not name a model, or not what it returns.
        ModelError: there is no such model, it does not load, or it would be fetched without leave to download.
        MissingExtra: mlflow is absent.
    """
    where = f"mlflow:{spec.name}"
    if not spec.name:
        raise ParameterError("model 'mlflow': write mlflow:FOLDER or mlflow:models:/NAME/VERSION")
    if "output" not in spec.options:
        raise ParameterError(f"model {str(spec)!r}: say what it returns by output=logits, probabilities or labels")
    named = spec.name.startswith(REGISTRY)
    if named and not download:
        raise ModelError(f"{where} is fetched from MLflow's registry: run again with --download, or name a folder")
    if not named and not (Path(spec.name) / "MLmodel").is_file():
        near = near_path(spec.name)
        raise ModelError(f"no file MLmodel in {spec.name!r}" + (f"; did you mean {near!r}?" if near else ""))
    with quiet_mlflow(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow about itself
        need("mlflow", "mlflow-skinny", "tracking", where)
        pyfunc = need("mlflow.pyfunc", "mlflow", "tracking", where)  # it may lack pandas
        try:
            folder = spec.name
            if named:
                folder = need("mlflow.artifacts", "mlflow", "tracking", where).download_artifacts(folder)
            digest = _digest(Path(folder))  # before its code runs, which may write there
            model = pyfunc.load_model(str(folder))
        except Exception as error:
            raise ModelError(f"{where} does not load: {type(error).__name__}: {first_line(error)}") from error
    key = spec.options.get("scores")

    def predict(images: Any) -> Any:
        answer = model.predict(images)
        if key is None and not isinstance(answer, Mapping):
            return answer
        keys = list(answer) if isinstance(answer, Mapping) or hasattr(answer, "columns") else []
        if key not in keys:
            raise ModelError(f"{where}: scores={key or 'NAME'} must name an entry of the answer, which has {keys}")
        return answer[key]

    return function_of_spec(predict, spec, f"{digest}\0{key}")


def _digest(folder: Path) -> str:
    """SHA-256 of the files of a model, by their names."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{content}\0".encode())
    return digest.hexdigest()
