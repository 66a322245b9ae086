"""The model that a training run starts from: a fresh architecture, or any SPEC with weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.device import device_of
from unshaken.core.documents import validate
from unshaken.core.errors import ModelError, ParameterError, RunError, did_you_mean
from unshaken.core.rng import seeded
from unshaken.harden.engine.ensemble import statistics
from unshaken.models import load_model
from unshaken.models.loaders.from_run import ModelRecord, ShapeRecord, read_record
from unshaken.models.loaders.kinds import list_kinds
from unshaken.models.loaders.spec import parse_model_spec
from unshaken.models.networks.architectures import SMALL, build
from unshaken.store.run_dir import RunDir

FRESH = "new:"
MODEL = "model.json"


@dataclass(frozen=True, slots=True)
class Start:
    """The model that a training run starts from.

    Args:
        model: on the CPU.
        arch: as in `model.json`.
        recipes: texts of those whose structure it has already.
    """

    model: Classifier
    arch: str
    recipes: tuple[str, ...] = ()


def start_from(
    spec: str, *, classes: int, names: tuple[str, ...], shape: ShapeRecord, statistics: tuple[list[float], list[float]],
    seed: int, download: bool,
) -> Start:  # fmt: skip
    """Build or load the model that a training run starts from.

    Args:
        spec: an architecture (`small`, `small-cnn`, `small-vit`, `new:torchvision:resnet18`, `new:timm:NAME`), which
            gets fresh weights, or a model SPEC, which keeps its own.
        classes: of the data.
        names: of the classes.
        shape: of the data's images.
        statistics: mean and deviation of the data's channels, which a fresh net normalises with.
        seed: of fresh weights.
        download: whether weights may be fetched.

    Raises:
        ParameterError: there is no such architecture or model.
        ModelError: the model gives no gradients, or cannot be kept.
    """
    if spec.startswith(FRESH) or spec in SMALL:
        arch = spec.removeprefix(FRESH)
        with seeded(seed):
            net = build(arch, classes=classes, channels=shape.channels, side=shape.side)
        mean, std = statistics
        return Start(Classifier(net, mean=mean, std=std, classes=names, name=spec), arch)
    if ":" not in spec and spec not in {k.name for k in list_kinds()}:
        known = (*SMALL, "demo", "new:torchvision:NAME", "new:timm:NAME")
        raise ParameterError(f"no architecture {spec!r}, and no model SPEC; {did_you_mean(spec, known)}")
    model = load_model(spec, download=download)
    if not model.differentiable:
        raise ModelError(f"model {spec!r} gives no gradients and cannot be trained: give an architecture or weights")
    arch, recipes = _arch(spec)
    return Start(model, arch, recipes)


def keep_normalisation(model: Classifier, run: RunDir) -> None:
    """Give a resumed training the mean and deviation that it began with: an earlier version may compute others.

    Args:
        model: as it would begin now; of the same structure.
        run: the directory of the run; without `model.json` nothing changes.

    Raises:
        RunError: `model.json` is damaged.
    """
    if not run.exists(MODEL):
        return
    recorded = validate(ModelRecord, run.read_json(MODEL), f"{run}: {MODEL}", RunError, "start a new run").options
    for own, values in ((model.mean, recorded.mean), (model.std, recorded.std)):
        if own is not None and values is not None and len(values) == own.numel():
            own.copy_(torch.tensor(values).view_as(own))


def _arch(spec: str) -> tuple[str, tuple[str, ...]]:
    """Architecture under which the model of a SPEC can be kept, and the recipes that made its structure."""
    parsed = parse_model_spec(spec)
    if parsed.kind == "demo":
        return "small", ()
    if parsed.kind == "weights":
        return parsed.options["arch"], ()
    if parsed.kind in ("torchvision", "timm"):
        return f"{parsed.kind}:{parsed.name.partition('@')[0]}", ()
    if parsed.kind == "py":
        return f"py:{parsed.name}", ()
    if parsed.kind == "run":
        record = read_record(parsed.name)
        return record.arch, tuple(record.recipes)
    raise ModelError(
        f"a model of the kind {parsed.kind!r} cannot be kept after training: wrap it in a file and give py:FILE:FACTORY"
    )


def with_new_head(model: Classifier, classes: int, names: tuple[str, ...], seed: int) -> Classifier:
    """The same network with its last linear layer replaced by a fresh one for other classes.

    Raises:
        ModelError: it has no linear layer by a name.
    """
    last = [name for name, module in model.net.named_modules() if isinstance(module, nn.Linear) and name][-1:]
    if not last:
        raise ModelError(f"model {model.name!r} has no linear layer to replace: give an architecture with the classes")
    old = model.net.get_submodule(last[0])
    with seeded(seed):
        new = nn.Linear(old.in_features, classes, bias=old.bias is not None)  # type: ignore[arg-type]
    model.net.set_submodule(last[0], new.to(device_of(model)))
    return Classifier(
        model.net,
        **statistics(model),
        classes=names,
        view=model.view,
        name=model.name,
    )
