"""`py:FILE_OR_MODULE:FACTORY`: the user's own code. This kind runs it; that is what its SPEC says."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError, UnshakenError, did_you_mean
from unshaken.models.loaders.kinds import model_kind
from unshaken.models.loaders.source import mark_source
from unshaken.models.loaders.spec import ModelSpec
from unshaken.models.loaders.weights import first_line
from unshaken.models.networks.box_output import BoxOutput
from unshaken.models.networks.torchvision_detectors import is_detector, with_boxes

TASKS = ("classification", "detection")
"""Values of the option `task`."""


@model_kind("py", form="py:FILE_OR_MODULE:FACTORY", options=("task",), keeps_mode=True)
def load(spec: ModelSpec, download: bool) -> Classifier:
    """Call a factory from a file (`net.py`) or a dotted module; it returns a net from [0, 1] images to logits.

    A factory that returns a `Classifier` keeps it as it is; options of the SPEC still apply. A detector of the classes
    of torchvision, and any net with the option `task=detection`, becomes a `BoxOutput`; of the former label 0 is the
    background, so that classes count from label 1 on.

    Raises:
        ParameterError: the SPEC does not name both a file or module and a factory, or a task that is not there.
        ModelError: the module or the factory is absent or raises, or gives no `nn.Module`.
    """
    place, _, factory = spec.name.rpartition(":")
    if not place or not factory:
        raise ParameterError(f"model {str(spec)!r}: write py:FILE_OR_MODULE:FACTORY, such as py:net.py:make")
    task = spec.options.get("task", TASKS[0])
    if task not in TASKS:
        raise ParameterError(f"model {str(spec)!r}: there is no task {task!r}; {did_you_mean(task, TASKS)}")
    where = f"py:{spec.name}"
    with _working_folder():
        return _build(place, factory, where, task)


def _build(place: str, factory: str, where: str, task: str) -> Classifier:
    """The classifier that a factory makes; see `load`."""
    module = _import(place, where)
    if not callable(getattr(module, factory, None)):
        names = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise ModelError(f"{where}: no callable {factory!r} in {place!r}; {did_you_mean(factory, names)}")
    try:
        net = getattr(module, factory)()
    except UnshakenError:
        raise
    except Exception as error:
        raise ModelError(f"{where}: the factory raised {type(error).__name__}: {first_line(error)}") from error
    if not isinstance(net, nn.Module):
        raise ModelError(f"{where}: the factory returned a {type(net).__name__}, not an nn.Module")
    classifier = net if isinstance(net, Classifier) else Classifier(net, name=where)
    if is_detector(classifier.net):
        classifier.net = with_boxes(classifier.net)
    elif task != classifier.task:
        classifier.net = BoxOutput(classifier.net)
    if source := getattr(module, "__file__", None):
        mark_source(classifier.net, hashlib.sha256(Path(source).read_bytes()).hexdigest())
    return classifier


@contextmanager
def _working_folder() -> Iterator[None]:
    """Let the user's modules in the working folder be imported, for as long as the user's code is being loaded."""
    folder = os.getcwd()
    if sys.flags.safe_path or folder in sys.path or "" in sys.path:
        yield
        return
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _import(place: str, where: str) -> ModuleType:
    path = Path(place)
    is_file = place.endswith(".py") or "/" in place
    if is_file and not path.is_file():
        raise ModelError(f"{where}: no file {place!r}")
    try:
        return _from_file(path) if is_file else importlib.import_module(place)
    except ModuleNotFoundError as error:
        if not is_file and error.name is not None and (place == error.name or place.startswith(f"{error.name}.")):
            raise ModelError(
                f"{where}: no module {place!r} on the Python path; for a file write its .py name"
            ) from None
        raise ModelError(f"{where}: importing it failed: {first_line(error)}") from error
    except Exception as error:
        raise ModelError(f"{where}: importing it raised {type(error).__name__}: {first_line(error)}") from error


def _from_file(path: Path) -> ModuleType:
    """Run a file as a module under a name of its own; pickles and dataclasses find it by that name."""
    name = f"unshaken_user_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not Python source")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module
