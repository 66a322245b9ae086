"""`Net` and `Networks`: networks trained by the one loop of `harden`, kept under a key of all that decides them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier
from unshaken.core.registry import parse_method
from unshaken.harden.ensemble import ensemble
from unshaken.harden.fit import fit
from unshaken.harden.recipe import Recipe
from unshaken.harden.training import Training
from unshaken.models.architectures import build
from unshaken.papers.frame.cache import Weights, cached, digest_of, digest_tensors
from unshaken.papers.frame.code import code_digest
from unshaken.papers.frame.datasets import Split
from unshaken.papers.frame.record import Record

Architecture = str | Callable[[int, int, int], nn.Module]
"""A name of `unshaken.models.architectures`, or what builds a net from classes K, channels and side in pixels."""
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
    """

    model: Classifier
    key: str
    curves: Sequence[Mapping[str, float]] = ()
    flags: Mapping[str, str] = field(default_factory=dict)


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
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
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
        arch: Architecture | None,
        data: Split,
        training: Training,
        recipes: Sequence[str | Recipe] = (),
        *,
        parent: Net | None = None,
        statistics: Statistics = "data",
    ) -> Net:
        """A network from the cache, or trained by `unshaken.harden.fit`.

        Args:
            name: unique in the run, such as `seed0.baseline-1`.
            arch: what is trained from fresh weights, drawn from `training.seed`; None with a parent.
            data: what it learns from.
            training: how; its `select` decides which checkpoint is returned.
            recipes: `NAME[:k=v,...]`, or recipes.
            parent: the network to go on from, left as it is.
            statistics: of a fresh classifier.

        Raises:
            ParameterError: there is no such architecture, or the recipes do not go together.
            RunError: training failed, or another network goes by this name in the run directory.
            ValueError: not one of `arch` and `parent` is given.
        """
        if (arch is None) == (parent is None):
            raise ValueError(f"network {name!r}: give an architecture or a parent, and not both")
        made = [parse_method(r, "harden") if isinstance(r, str) else r for r in recipes]
        start = (
            untrained(arch, data, training.seed, statistics) if arch is not None else copy.deepcopy(parent.model)  # type: ignore[union-attr]
        )
        key = {
            "parent": None if parent is None else parent.key,
            "start": digest_tensors(start.state_dict()),
            "statistics": [None if v is None else v.flatten().tolist() for v in (start.mean, start.std)],
            "structure": repr(start.net),
            "data": data.digest,
            "classes": data.classes,
            "training": training.model_dump(mode="json"),
            "recipes": [_text(r) for r in made],
            "code": code_digest("unshaken.harden.fit", *made, *_makers(arch), *start.net.modules()),
        }

        def train() -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
            fitted = fit(copy.deepcopy(start), data.images, data.labels, made, training, classes=data.classes)
            progress = fitted.progress
            return fitted.model.net.state_dict(), {"curves": progress.curves, "flags": progress.flags}

        weights = self._kept(name, key, train)
        for recipe in made:
            start = recipe.rebuild(start)
        start.net.load_state_dict(weights.tensors)
        return Net(start.eval(), digest_of(key), weights.notes["curves"], weights.notes["flags"])

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
        self.record.add_network(f"network {name}", digest_of(key), cached=found.cached)
        return found


def _text(recipe: Recipe) -> dict[str, Any]:
    """A recipe's name, class and options, for a key."""
    options = recipe.model_dump(mode="json")
    return {"name": recipe.info.name, "class": type(recipe).__qualname__, "options": options}


def _makers(arch: Architecture | None) -> list[Any]:
    """What builds a net, for the digest of its code."""
    if isinstance(arch, partial):
        return [arch.func]
    return ["unshaken.models.architectures"] if arch is None or isinstance(arch, str) else [arch]
