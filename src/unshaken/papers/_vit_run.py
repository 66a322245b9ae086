"""What is done to each network of the experiment with patches, as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pyarrow as pa
import torch
from torch import Tensor

from unshaken.attack.patch.patch import Patch
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import DataError
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.models.networks.attention import attention_maps, rollout, smoothed, token_side
from unshaken.papers._vit_nets import Pair
from unshaken.papers.base import Bench
from unshaken.run.rows import SCHEMAS, Condition, Context, Part, outcomes
from unshaken.stress.corruptions.gaussian_noise import GaussianNoise
from unshaken.stress.patch.patch_corruption import PatchCorruption, paste

ATTENTION = pa.schema(
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("method", pa.string()),
        ("layer", pa.int32()),
        ("on_cell", pa.float64()),
        ("rollout", pa.float64()),
    ]
)
"""One row an image and a layer: the class token's attention to the cell (heads averaged), in units of an even share.

`rollout` is that of all layers so far, its row without the class token's own entry, in the same unit.
"""
SCHEMAS["attention"] = ATTENTION

TEMPERATURES = (1.5, 2.0, 3.0)
ADVERSARIAL = (1, 2, 4)
CELLS = (8, 24, 40, 64)
"""Sixty-fourths of all cells."""
KINDS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "noise": ("gaussian_noise:preset=imagenet", (1, 3, 5)),
    "blur": ("gaussian_blur:preset=imagenet", (1, 2, 3)),
    "contrast": ("contrast:preset=cifar", (1, 3, 5)),
}
"""Kind to a corruption and three severities."""


class Study:
    """Everything that is done with the networks of one seed.

    Args:
        bench: where the rows go.
        pair: the networks.
        name: of the seed, in front of all conditions.
        attacked: images that both networks get right, at most.
        patch: the attack, with its steps and starts.

    Raises:
        DataError: there is no image that both get right.
    """

    def __init__(self, bench: Bench, pair: Pair, name: str, attacked: int, patch: Patch) -> None:
        self.bench, self.pair, self.name, self.patch = bench, pair, name, patch
        self.side = token_side(pair.vit)
        self.grid = (pair.images.images.shape[2] // self.side) * (pair.images.images.shape[3] // self.side)
        self.flat = {f"vit-{t:g}": smoothed(pair.vit, t) for t in TEMPERATURES}
        self.nets: dict[str, Classifier] = {"vit": pair.vit, "cnn": pair.cnn, **self.flat}
        for net in self.nets:
            self.clean(net)
        right = self.right("vit.clean") & self.right("cnn.clean")
        rows = [i for i, key in enumerate(pair.images.ids) if key in right][:attacked]
        if not rows:
            raise DataError(f"vit-patch: of {len(pair.images)} images there is none that both networks get right")
        self.batch = pair.images[torch.tensor(rows)]

    def run(self) -> None:
        """Put all rows that are not there yet."""
        steps = [partial(step, net) for step in (self.natural, self.adversarial) for net in ("vit", "cnn")]
        steps += [partial(self.smoothed, net) for net in self.flat]
        with track(f"patches, {self.name}", len(steps) + 1) as task:
            for step in steps:
                step()
                task.advance()
            self.attention()
            task.advance()

    def clean(self, net: str) -> None:
        """Predictions on all images."""
        condition = self.condition(f"{net}.clean", "clean")
        if not self.there(condition):
            self.bench.keep([outcomes(condition, self.pair.images, self.logits(net, self.pair.images.images))], 0)

    def natural(self, net: str) -> None:
        """Corrupted cells of each kind, number and severity."""
        for kind, (corruption, severities) in KINDS.items():
            for share in CELLS:
                cells = max(1, share * self.grid // 64)
                stressor = PatchCorruption(corruption=corruption, cells=cells, cell=self.side)
                label = f"{self.name}.{net}.{kind}-{share}"
                conditions = stressor.conditions(label=label, severities=severities, eps=(), norm="linf")
                if not all(self.there(c) for c in conditions):
                    self.evaluate(net, stressor, self.batch, conditions)

    def adversarial(self, net: str) -> None:
        """Patches of 1, 2 and 4 cells, each on those whom fewer cells did not fool, and random pixels."""
        self.attack(net, "random-1", self.patch.model_copy(update={"steps": 0, "restarts": 1}), self.batch)
        standing = self.batch
        for cells in ADVERSARIAL:
            self.attack(net, f"patch-{cells}", self.patch.model_copy(update={"cells": cells}), standing)
            right = self.right(f"{net}.patch-{cells}")
            rows = torch.tensor([i for i, key in enumerate(standing.ids) if key in right], dtype=torch.int64)
            standing = standing[rows]
            if not len(standing):
                break

    def smoothed(self, net: str) -> None:
        """A patch of 1 cell against a smoothed network, and the patches that were made without smoothing."""
        self.attack(net, "patch-1", self.patch, self.batch)
        condition = self.condition(f"{net}.transfer-1", "patch")
        if not self.there(condition):
            self.bench.keep([outcomes(condition, self.batch, self.logits(net, self.attacked("vit")))], 0)

    def attack(self, net: str, label: str, patch: Patch, batch: Batch) -> None:
        """Rows of an attack, and its images where one cell was free."""
        conditions = patch.conditions(label=f"{self.name}.{net}.{label}", severities=(), eps=(), norm="linf")
        if len(batch) and not self.there(conditions[0]):
            self.evaluate(net, patch, batch, conditions, keep=label == "patch-1")

    def evaluate(
        self,
        net: str,
        method: Patch | PatchCorruption,
        batch: Batch,
        conditions: Sequence[Condition],
        keep: bool = False,
    ) -> None:
        """Rows of a method; images first, the rows that say that all is there last."""
        model = self.nets[net]
        with evaluating(model):
            oracle = Oracle(model, limit=128)
            context = Context(oracle, self.bench.seed, oracle.exact(batch.images))
            parts = method.evaluate(batch, conditions, context)
        for part in parts:
            if keep and part.images is not None:
                images = part.images(torch.arange(len(batch)))
                self.bench.run.write_examples(images, list(batch.ids), part.condition.id, 0)
        self.bench.keep(parts, 0)

    def attention(self) -> None:
        """Attention to one cell: clean, under noise, and under the patch that the attack found."""
        mask = self.patch.placed(self.batch, self.bench.seed)
        noisy = GaussianNoise(preset="imagenet").apply(self.batch, 3, self.bench.seed).images
        shown = {
            "clean": self.batch.images,
            "noise": paste(self.batch.images, noisy, mask),
            "patch": self.attacked("vit"),
        }
        token = mask[:, 0, :: self.side, :: self.side].flatten(1).float().argmax(1)
        for name, images in shown.items():
            condition = self.condition(f"vit.attention-{name}", name)
            if not self.bench.run.has_rows("attention", condition.id, 0):
                on_cell, rolled = looked_at(self.pair.vit, images, token, self.grid)
                layers, n = on_cell.shape
                columns = {
                    "id": list(self.batch.ids) * layers,
                    "layer": [layer for layer in range(layers) for _ in range(n)],
                    "on_cell": on_cell.flatten().tolist(),
                    "rollout": rolled.flatten().tolist(),
                }
                self.bench.keep([Part("attention", condition, columns)], 0)

    def attacked(self, net: str) -> Tensor:
        """The images that the attack with one cell left, in the order of the batch."""
        found = self.bench.run.examples(f"{self.name}.{net}.patch-1")
        return torch.stack([found[key] for key in self.batch.ids])

    def condition(self, label: str, method: str) -> Condition:
        """A condition of this seed."""
        return Condition(f"{self.name}.{label}", method)

    def there(self, condition: Condition) -> bool:
        """Whether its rows are finished."""
        return self.bench.run.has_rows("outcomes", condition.id, 0)

    def logits(self, net: str, images: Tensor) -> Tensor:
        """Of a network, in float32."""
        with evaluating(self.nets[net]):
            return Oracle(self.nets[net], limit=500).exact(images)

    def right(self, label: str) -> set[str]:
        """Ids of the samples that are predicted rightly under a condition, from rows."""
        rows = self.bench.run.rows("outcomes", ["id", "condition", "correct"]).to_pylist()
        return {r["id"] for r in rows if r["condition"] == f"{self.name}.{label}" and r["correct"]}


def looked_at(model: Classifier, images: Tensor, token: Tensor, grid: int) -> tuple[Tensor, Tensor]:
    """The class token's attention to one patch of each image, by layer, and its rollout up to that layer.

    Args:
        model: with a class token first and the patches last.
        images: `[N, C, H, W]`.
        token: int64 `[N]`, the patch.
        grid: number of patches.

    Returns:
        Both `[L, N]`, in units of the even share `1 / T` (rollout: `1 / grid`).
    """
    direct, rolled = [], []
    with evaluating(model):
        for x, at in zip(torch.split(images, 25), torch.split(token, 25), strict=True):
            maps = attention_maps(model, x)
            picked = at + maps.shape[-1] - grid
            rows = torch.arange(len(x))
            direct.append(maps.mean(2)[:, rows, 0, picked] * maps.shape[-1])
            whole = torch.stack([rollout(maps[: i + 1])[:, 0] for i in range(len(maps))])
            rolled.append(whole[:, rows, picked] / whole[:, :, -grid:].sum(-1) * grid)
    return torch.cat(direct, 1), torch.cat(rolled, 1)
