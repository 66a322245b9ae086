"""Input kinds: how alike the images are that activate a channel most, by proxies that are named as such."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import INPUT, Classifier, evaluating
from unshaken.core.device import widen
from unshaken.core.errors import DataError, ModelError
from unshaken.core.oracle import Oracle
from unshaken.core.registry import register
from unshaken.explain.biases._answers import asking, required_labels
from unshaken.explain.biases.smoothness import layers_of
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.measure.statistics.means import mean_figure
from unshaken.models import load_model

PROXIES = {
    "classes": "distinct classes among a channel's top images",
    "class-entropy": "entropy of their classes in bits",
    "distance": "mean distance between them in the features of an independent model",
}


@dataclass(slots=True, eq=False)
class TopImages:
    """The images that activate each channel most, so far.

    Args:
        values: the largest means of the channel's map, falling, `[D, k]`; minus infinity where there is none.
        places: of the images among all, int64 `[D, k]`; -1 where there is none.
    """

    values: Tensor
    places: Tensor

    @classmethod
    def of(cls, channels: int, k: int) -> TopImages:
        """Places for k images of each channel, all empty."""
        return cls(torch.full((channels, k), -torch.inf), torch.full((channels, k), -1))

    def add(self, values: Tensor, places: Tensor) -> None:
        """Add further images.

        Args:
            values: of each channel, finite, `[N, D]`.
            places: of the images among all, int64 `[N]`, rising.
        """
        both = torch.cat([self.values, values.T], 1)
        where = torch.cat([self.places, places.expand(values.shape[1], -1)], 1)
        order = both.sort(dim=1, descending=True, stable=True).indices[:, : self.values.shape[1]]
        self.values, self.places = both.gather(1, order), where.gather(1, order)


def class_kinds(labels: Tensor) -> tuple[int, float]:
    """The number of distinct classes among labels `[k]`, and their entropy in bits.

    >>> class_kinds(torch.tensor([0, 0, 1, 1]))
    (2, 1.0)
    """
    counts = torch.bincount(labels)
    shares = widen(counts[counts > 0]) / len(labels)
    return len(shares), float(-(shares * shares.log2()).sum()) + 0.0


def mean_distance(features: Tensor) -> float:
    """The mean Euclidean distance between features `[k, F]`, each of norm 1, over pairs; 0 for one.

    >>> mean_distance(torch.tensor([[1.0, 0.0], [0.0, 2.0]])) == 2**0.5
    True
    """
    unit = widen(features) / widen(features).norm(dim=1, keepdim=True).clamp(min=1e-12)
    distances = torch.pdist(unit)
    return float(distances.mean()) if len(distances) else 0.0


def feature_layer(model: Classifier) -> str:
    """The input of a model's last linear layer.

    Raises:
        ModelError: it has no linear layer.
    """
    names: list[str] = [name for name, module in model.net.named_modules() if isinstance(module, nn.Linear) and name]
    if not names:
        raise ModelError(f"model {model.name!r} has no linear layer, before which features could be read")
    return names[-1] + INPUT


@register("input-kinds", reference="Chen et al. 2020, arXiv:2006.09373")
class InputKinds(Analysis):
    """Input kinds: the diversity of the images that activate each channel most, by three proxies.

    Kinds of input are visual patterns, which none of the proxies measures: the classes of the images say how specific a
    channel is for a class, and the distance depends on the model in whose features it is taken.
    """

    table: ClassVar[str] = "geometry"
    group: ClassVar[str] = "biases"
    needs: ClassVar[frozenset[str]] = frozenset({"model", "images", "labels"})
    several: ClassVar[bool] = True

    k: int = Field(default=49, description="images for each channel", ge=2, le=10_000)
    layers: tuple[str, ...] = Field(default=(), description="names of layers; empty for the last convolution")
    judge: str = Field(default="", description="SPEC of the independent model for distances; empty for none")

    @override
    def find(self, subject: Subject) -> Findings:
        return self.judged(subject, load_model(self.judge).eval().to(subject.device) if self.judge else None)

    def judged(self, subject: Subject, judge: Classifier | None) -> Findings:
        """Measure with an independent model at hand.

        Args:
            subject: models and labelled images.
            judge: the independent model; None for no distances.
        """
        layers = {n: layers_of(m, self.layers)[0 if self.layers else -1 :] for n, m in subject.models.items()}
        top: dict[tuple[str, str], TopImages] = {}
        labels: list[Tensor] = []
        features: list[Tensor] = []
        total = 0
        with asking(subject) as answers:
            for batch in subject.batches():
                judged, places = torch.ones(len(batch), dtype=torch.bool), torch.arange(total, total + len(batch))
                if judge is not None:
                    layer = feature_layer(judge)
                    with evaluating(judge), torch.no_grad():
                        features.append(judge.features(batch.images, (layer,))[1][layer].flatten(1).cpu())
                    judged = subject.keep_finite(features[-1], batch.ids)
                for name, oracle in answers.oracles.items():
                    for layer, values in channel_means(oracle, layers[name], batch.images).items():
                        kept = judged & subject.keep_finite(values, batch.ids)
                        one = top.setdefault((name, layer), TopImages.of(values.shape[1], self.k))
                        one.add(values[kept], places[kept])
                labels.append(required_labels(batch).cpu())
                total += len(batch)
            meters = [oracle.meter for oracle in answers.oracles.values()]
        fewest = min((int((one.places >= 0).sum(1).min()) for one in top.values()), default=0)
        if fewest < self.k:
            raise DataError(f"input-kinds: {self.k} images for each channel were asked for, of {fewest}: lower k")
        judge_values = torch.cat(features) if features else None
        found = {key: kinds_of(one, torch.cat(labels), judge_values) for key, one in top.items()}
        return _findings(found, layers, self.k, sum(m.forwards for m in meters))


def channel_means(oracle: Oracle, layers: tuple[str, ...], images: Tensor) -> dict[str, Tensor]:
    """The mean of each channel's map, `[N, D]` by layer, on the CPU."""
    with torch.no_grad():
        outputs = oracle.forward(images, layers)[1]
    return {name: out.float().flatten(2).mean(2).cpu() if out.ndim > 2 else out.cpu() for name, out in outputs.items()}


def kinds_of(top: TopImages, labels: Tensor, features: Tensor | None) -> dict[str, Tensor]:
    """The proxies of each channel, float64 `[D]`.

    Args:
        top: images of each channel.
        labels: of all images, int64 `[N]`.
        features: of all images in an independent model, `[N, F]`; None for none.
    """
    classes, entropy = zip(*(class_kinds(labels[places]) for places in top.places), strict=True)
    found = {"classes": torch.tensor(classes).double(), "class-entropy": torch.tensor(entropy).double()}
    if features is not None:
        found["distance"] = torch.tensor([mean_distance(features[places]) for places in top.places]).double()
    return found


def _findings(
    found: dict[tuple[str, str], dict[str, Tensor]], layers: dict[str, tuple[str, ...]], k: int, forwards: int
) -> Findings:
    rows: list[dict[str, Any]] = []
    figures, arrays = {}, {}
    for (model, layer), proxies in found.items():
        for proxy, values in proxies.items():
            figure = figures[f"{proxy}.{model}.{layer}"] = mean_figure(values.numpy(), low=0.0)
            arrays[f"{model}.{layer}.{proxy}"] = values.float()
            depth = layers[model].index(layer) / max(1, len(layers[model]) - 1)
            where = {"model": model, "layer": layer, "depth": depth, "quantity": proxy}
            rows.append({**where, "value": figure.value, "low": figure.low, "high": figure.high, "n": figure.n})
    remarks = ("These are proxies: a robust channel is less specific for a class, which makes its top images differ.",)
    proxies_used = {name: PROXIES[name] for name in PROXIES if any(name in p for p in found.values())}
    extra = {"models": list(layers), "layers": layers, "k": k, "proxies": proxies_used}
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return Findings(columns, figures, remarks, arrays, extra, forwards=forwards)
