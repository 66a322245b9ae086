"""`Net` and `Networks`: networks trained by the one loop of `harden`, kept under a key of all that decides them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from torch import Tensor, nn

from unshaken.core.cache import cache_dir
from unshaken.core.classifier import Classifier
from unshaken.core.numbers import shorten
from unshaken.core.registry import Parameters, parse_method
from unshaken.core.rng import seeded
from unshaken.harden.engine.ensemble import ensemble
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training
from unshaken.models import save_model
from unshaken.models.networks.architectures import build
from unshaken.papers.cache import Weights, cached, code_digest, digest_of, digest_tensors
from unshaken.papers.datasets import Split
from unshaken.papers.record import Record
from unshaken.papers.seen import digests_of

Architecture = str | Callable[[int, int, int], nn.Module]
"""The name of an architecture, or what builds a net from classes K, channels and side in pixels."""
Statistics = Literal["data", "none"] | tuple[Sequence[float], Sequence[float]]
"""The mean and deviation inside a classifier: those of the training images, none, or these."""


@dataclass(frozen=True, slots=True)
class Net:
    """A trained network.

    Args:
        model: in evaluation mode.
        key: 32 hexadecimal digits of all that decides its weights.
        curves: figures of its training, one record an epoch.
        flags: what the monitors of training noticed, by name.
        seconds: wall time of its training, on the machine that trained it.
    """

    model: Classifier
    key: str
    curves: Sequence[Mapping[str, float]] = ()
    flags: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def plan_training(epochs: int, seed: int, **options: Any) -> Training:
    """A training whose last weights are taken: figures are made after the last epoch alone.

    Args:
        epochs: passes over the images.
        seed: of weights and order.
        options: others of `Training`.
    """
    return Training(epochs=epochs, seed=seed, check_every=epochs, select="last", **options)


def together(nets: Sequence[Net], *, name: str = "ensemble") -> Net:
    """Networks as one ensemble, which answers by the mean of their probabilities."""
    model = ensemble([n.model for n in nets], name=name).eval()
    return Net(model, digest_of({"ensemble": [n.key for n in nets]}))


def untrained(arch: Architecture, data: Split, seed: int, statistics: Statistics = "data") -> Classifier:
    """A classifier with weights drawn from a seed, for images and classes like those of `data`.

    Raises:
        ParameterError: there is no such architecture.
    """
    channels, side = data.images.shape[1:3]
    with seeded(seed):
        if isinstance(arch, str):
            net = build(arch, classes=data.classes, channels=channels, side=side)
        else:
            net = arch(data.classes, channels, side)
    if statistics == "none":
        return Classifier(net)
    mean, std = data.statistics() if statistics == "data" else statistics
    return Classifier(net, mean=list(mean), std=list(std))


@dataclass(frozen=True, slots=True)
class Networks:
    """Trains the networks of an experiment, or takes them from the cache.

    Args:
        record: receives each network's name and key.
    """

    record: Record

    def net(
        self,
        name: str,
        start: Architecture | Classifier | Net,
        data: Split,
        training: Training,
        recipes: Sequence[str | Recipe] = (),
        *,
        statistics: Statistics = "data",
    ) -> Net:
        """A network from the cache, or trained by `unshaken.harden.engine.fit`.

        Args:
            name: unique in the run, such as `seed0.baseline-1`.
            start: an architecture, for fresh weights drawn from `training.seed`; or a network to go on from, which is
                left as it is.
            data: what it learns from.
            training: how; its `select` decides which checkpoint is returned.
            recipes: `NAME[:k=v,...]`, or recipes; networks that they hold enter the key by their weights.
            statistics: of a fresh classifier.

        Raises:
            ParameterError: there is no such architecture, or the recipes do not go together.
            RunError: training failed, or another network goes by this name in the run directory.
        """
        self.record.add_learned(digests_of(data.images))
        made = [parse_method(r, "harden") if isinstance(r, str) else r for r in recipes]
        model = (
            copy.deepcopy(start.model if isinstance(start, Net) else start)
            if isinstance(start, Net | Classifier)
            else untrained(start, data, training.seed, statistics)
        )
        key = {
            "start": described(model),
            "data": data.digest,
            "classes": data.classes,
            "training": training.model_dump(mode="json"),
            "recipes": [described(r) for r in made],
            "code": code_digest("unshaken.harden.engine.fit", *made, *_builders(start), *model.net.modules()),
        }

        def train() -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
            fitted = fit(copy.deepcopy(model), data.images, data.labels, made, training, classes=data.classes)
            progress = fitted.progress
            notes = {"curves": progress.curves, "flags": progress.flags, "seconds": progress.seconds}
            return fitted.model.net.state_dict(), notes

        weights = self._kept(name, key, train)
        for recipe in made:
            model = recipe.rebuild(model)
        for recipe in made:  # what only training needed has no weights any more
            recipe.end(model)
        model.net.load_state_dict(weights.tensors)
        return Net(model.eval(), digest_of(key), **weights.notes)

    def weights(
        self, name: str, key: Mapping[str, Any], make: Callable[[], Mapping[str, Tensor]], code: Sequence[Any]
    ) -> dict[str, Tensor]:
        """Weights of what no recipe trains (a denoiser, a watermark, a linear probe), from the cache or made.

        Args:
            name: as in `net`.
            key: nested JSON values: every setting, the data's digest, the parents' keys, the seed.
            make: trains, and gives the state dict.
            code: functions and classes that train, and the architecture's class; their modules enter the key.
        """
        whole = {"settings": dict(key), "code": code_digest(*code)}
        return self._kept(name, whole, lambda: (make(), {})).tensors

    def _kept(
        self, name: str, key: Mapping[str, Any], make: Callable[[], tuple[Mapping[str, Tensor], Mapping[str, Any]]]
    ) -> Weights:
        found = cached(key, make)
        self.record.add_network(f"network {name}", digest_of(key), cached=found.cached, made=found.made)
        return found


def saved(net: Net, arch: str) -> str:
    """The SPEC of a network, for recipes and commands that take SPECs; it is saved beside the cache.

    Args:
        net: one whose structure is a named architecture.
        arch: its name.
    """
    folder = cache_dir() / "papers" / net.key
    if not (folder / "model.json").is_file():
        save_model(net.model, folder, arch=arch)
    return f"run:{folder}"


def with_weights(model: Classifier, weights: Mapping[str, Tensor]) -> Classifier:
    """A copy of a classifier with other weights, in evaluation mode."""
    other = copy.deepcopy(model)
    other.net.load_state_dict(dict(weights))
    return other.eval()


def described(value: Any) -> Any:
    """JSON that stands for a value in a key: modules and tensors by their content, recipes by name and options.

    Raises:
        TypeError: the value is of a kind that has no such description.
    """
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, nn.Module):
        normalised = [None if v is None else v.flatten().tolist() for v in _statistics(value)]
        return {"structure": repr(value), "weights": digest_tensors(value.state_dict()), "statistics": normalised}
    if isinstance(value, Tensor):
        return digest_tensors({"": value})
    if isinstance(value, Mapping):
        return {str(k): described(v) for k, v in value.items()}
    if isinstance(value, Sequence | frozenset | set):
        return [described(v) for v in (value if isinstance(value, Sequence) else sorted(value))]
    if isinstance(value, Parameters):
        options = {**{k: getattr(value, k) for k in type(value).model_fields}, **(value.__pydantic_private__ or {})}
        return {"class": type(value).__qualname__, "options": described(options)}
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    raise TypeError(f"{type(value).__qualname__} {shorten(value)} cannot stand in the key of a network")


def _statistics(module: nn.Module) -> tuple[Tensor | None, ...]:
    return (module.mean, module.std) if isinstance(module, Classifier) else ()


def _builders(start: Architecture | Classifier | Net) -> list[Any]:
    """Functions that build a net, for the digest of its code; the classes of its modules are in the digest anyway."""
    if isinstance(start, partial):
        return [start.func]
    named = isinstance(start, str | Net | Classifier)
    return [build if named else start]
