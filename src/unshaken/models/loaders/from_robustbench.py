"""`robustbench:NAME?dataset=cifar10&threat=Linf`: networks of RobustBench's model zoo, by its own loader."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from torchvision import transforms

from unshaken.core.cache import cache_dir
from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import ModelError, ParameterError, did_you_mean, near
from unshaken.models.class_names import imagenet_classes
from unshaken.models.loaders.kinds import model_kind
from unshaken.models.loaders.options import image_size
from unshaken.models.loaders.spec import ModelSpec
from unshaken.models.loaders.weights import first_line, how_to_fetch, offline, refuse_disguised

DATASETS = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet": "ImageNet"}
"""RobustBench's names of data, and what they are called."""
THREATS = ("Linf", "L2", "corruptions", "corruptions_3d")
"""What the networks were trained to withstand."""
SIDE = 32
"""Pixels of the images of both CIFARs."""
ONLY_TENSORS = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""A variable of the environment by which `torch.load` reads nothing but tensors, whoever calls it."""


def learned(spec: ModelSpec) -> str:
    """The photos that the weights of a SPEC learned from."""
    return DATASETS.get(spec.options.get("dataset", "cifar10"), "")


@model_kind(
    "robustbench",
    form="robustbench:NAME[?dataset=cifar10|cifar100|imagenet&threat=Linf|L2|corruptions]",
    options=("dataset", "threat"),
    learned=learned,
)
def load(spec: ModelSpec, download: bool) -> Classifier:
    """A network of RobustBench's model zoo, such as `robustbench:Rade2021Helper_R18_extra`.

    The package `robustbench` must be installed: it builds the network, fetches its weights, and they are read as
    tensors only. They lie in `robustbench/DATASET/THREAT` in the folder of the cache (`UNSHAKEN_CACHE`). Photos for
    ImageNet are resized and cut as RobustBench does.

    Raises:
        ParameterError: there is no such data, threat model or network.
        ModelError: the package or the weights are absent, or RobustBench cannot load them.
    """
    why = f"model {str(spec)!r}"
    dataset = _choose(why, "dataset", spec.options.get("dataset", "cifar10"), [*DATASETS])
    threat = _choose(why, "threat", spec.options.get("threat", "Linf"), THREATS)
    utils, zoo, data = (_part(name, why) for name in ("utils", "model_zoo", "data"))
    enums = _part("model_zoo.enums", why)
    data_kind = enums.BenchmarkDataset(dataset)
    folder = threat.removesuffix("_3d")  # networks for 3D corruptions are those for corruptions
    known = zoo.model_dicts[data_kind].get(enums.ThreatModel(folder), {})
    if spec.name not in known:
        raise ParameterError(
            f"RobustBench has no model {spec.name!r} for {dataset}, {threat}; {near(spec.name, known)}"
        )
    place = cache_dir() / "robustbench"
    _check_files(spec, known[spec.name], place / dataset / folder, download)
    view = View(SIDE, SIDE)
    if dataset == "imagenet":
        view = _view(spec, data.get_preprocessing(data_kind, enums.ThreatModel(threat), spec.name, None))
    try:
        with _only_tensors(), offline(spec, unless=download), redirect_stdout(sys.stderr):
            net = utils.load_model(spec.name, model_dir=str(place), dataset=dataset, threat_model=threat)
    except Exception as error:  # whatever its builders, downloads and checkpoints may raise
        raise ModelError(
            f"{why} cannot be loaded by RobustBench: {first_line(error) or type(error).__name__}"
        ) from error
    return Classifier(
        net,
        classes=imagenet_classes() if dataset == "imagenet" else (),
        view=view,
        name=f"robustbench:{spec.name}?dataset={dataset}&threat={threat}",
    )


def _part(name: str, why: str) -> Any:
    if importlib.util.find_spec("robustbench") is None:
        raise ModelError(f"{why} needs the package 'robustbench', which is absent: pip install robustbench")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # it imports names that timm has moved
            return importlib.import_module(f"robustbench.{name}")
    except ImportError as error:
        raise ModelError(f"{why} needs the package 'robustbench', which does not import here: {error}") from error


def _choose(why: str, option: str, value: str, known: Any) -> str:
    if value not in known:
        raise ParameterError(f"{why}: {option}={value}; {did_you_mean(value, known)}")
    return value


def _check_files(spec: ModelSpec, record: Mapping[str, Any], folder: Path, download: bool) -> None:
    """Refuse a network whose files RobustBench would fetch without leave, and files that are no weights.

    Args:
        spec: of the model.
        record: its entry in the zoo: `gdrive_id` is an id, one for each file, or None where timm has the weights.
        folder: of its files.
        download: whether they may be fetched.
    """
    ids = record.get("gdrive_id")
    parts = [f"{spec.name}.pt_m{i}.pt" for i in range(len(ids))] if isinstance(ids, list) else [f"{spec.name}.pt"]
    own = ids is not None and not (spec.options.get("dataset") == "imagenet" and "Standard" in spec.name)
    for path in (folder / part for part in parts if own):
        if path.is_file():
            refuse_disguised(path)
        elif not download:
            raise ModelError(f"the weights of {str(spec)!r} are not at {path}: {how_to_fetch(spec)}")
    if not own and not download:
        raise ModelError(f"the weights of {str(spec)!r} are those of timm or torchvision: {how_to_fetch(spec)}")


def _view(spec: ModelSpec, transform: Any) -> View:
    """The view of RobustBench's transform of photos: a resize, perhaps a cut of the centre.

    Raises:
        ModelError: it is another one, and the SPEC gives no size.
    """
    steps = [step for step in transform.transforms if not isinstance(step, transforms.ToTensor)]
    first, *rest = steps or [None]
    if isinstance(first, transforms.Resize):
        way = first.interpolation.value
        if isinstance(first.size, int) and [type(step) for step in rest] == [transforms.CenterCrop]:
            height, width = rest[0].size
            return View(height, width, resize=first.size, interpolation=way)
        if not isinstance(first.size, int) and not rest:
            height, width = first.size
            return View(height, width, interpolation=way, fit="whole")
    if (size := image_size(spec)) is None:
        shown = " ".join(str(transform).split())
        raise ModelError(f"model {str(spec)!r}: RobustBench prepares photos by {shown}: give a size, such as size=288")
    return View(*size)


@contextmanager
def _only_tensors() -> Iterator[None]:
    before = os.environ.get(ONLY_TENSORS)
    os.environ[ONLY_TENSORS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[ONLY_TENSORS]
        else:
            os.environ[ONLY_TENSORS] = before
