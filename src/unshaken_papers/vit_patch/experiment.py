"""Networks under corrupted and adversarial patches, and a ViT's attention to them, as rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from unshaken.attack.engine.base import Attack
from unshaken.attack.patch.patch import Patch
from unshaken.attack.patch.patch_fool import PatchFool
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError
from unshaken.core.progress import track
from unshaken.models.networks.attention import attention_layers, attention_to, smoothed, token_side
from unshaken.papers.context import Context
from unshaken.stress.corruptions.gaussian_noise import GaussianNoise
from unshaken.stress.patch.patch_corruption import PatchCorruption, paste
from unshaken_papers.vit_patch import ADVERSARIAL, CELLS, FOOLS, OF_ATTENTION, STATES, TEMPERATURES, VitPatchPaper
from unshaken_papers.vit_patch.nets import Pair, pairs
from unshaken_papers.vit_patch.rules import KINDS


def run(paper: VitPatchPaper, context: Context) -> None:
    """The same for each seed."""
    for seed, pair in pairs(paper, context):
        Experiment(paper, context.within(f"seed{seed}"), pair).run()


class Experiment:
    """Everything that is done with the networks of one seed.

    Args:
        paper: the sizes.
        context: with the seed as its prefix.
        pair: the networks.

    Raises:
        DataError: there is no image that both get right.
    """

    def __init__(self, paper: VitPatchPaper, context: Context, pair: Pair) -> None:
        self.paper, self.context, self.pair, self.side = paper, context, pair, token_side(pair.vit)
        self.patch = Patch(size=self.side, steps=paper.steps, restarts=paper.starts, step_size=paper.step_size)
        height, width = pair.images.images.shape[2:]
        self.grid = (height // self.side) * (width // self.side)
        self.flat = {f"vit-{t:g}": smoothed(pair.vit, t) for t in TEMPERATURES}
        self.nets: dict[str, Classifier] = {"vit": pair.vit, "cnn": pair.cnn, **self.flat}
        for name, net in self.nets.items():
            context.predict(f"{name}.clean", net, pair.images)
        right = self.correct("vit.clean", pair.images) & self.correct("cnn.clean", pair.images)
        rows = right.nonzero().flatten()[: paper.attacked]
        if not len(rows):
            raise DataError(f"vit-patch: of {len(pair.images)} images there is none that both networks get right")
        self.batch = pair.images[rows]

    def run(self) -> None:
        """Write all rows that are not there yet."""
        steps: list[Callable[[], None]] = []
        steps += [partial(step, net) for step in (self.natural, self.adversarial) for net in ("vit", "cnn")]
        steps += [partial(self.smoothed, net) for net in self.flat]
        steps += [partial(step, net) for step in (self.scan, self.move, self.fool) for net in ("vit", "cnn")]
        steps.append(self.attention)
        with track(f"patches, {self.context.prefix.rstrip('.')}", len(steps)) as task:
            for step in steps:
                step()
                task.advance()

    def natural(self, net: str) -> None:
        """Corrupted cells of each kind, number and severity."""
        for kind, (corruption, severities) in KINDS.items():
            for share in CELLS:
                cells = max(1, share * self.grid // 64)
                stressor = PatchCorruption(corruption=corruption, cells=cells, size=self.side)
                label = f"{net}.{kind}-{share}"
                self.context.evaluate(label, stressor, self.nets[net], self.batch, severities=severities)

    def adversarial(self, net: str) -> None:
        """Patches of 1, 2 and 4 cells, each on those that fewer cells did not fool, and random pixels."""
        self.attack(net, "random-1", self.patch.model_copy(update={"steps": 0, "restarts": 1}), self.batch)
        standing = self.batch
        for cells in ADVERSARIAL:
            self.attack(net, f"patch-{cells}", self.patch.model_copy(update={"cells": cells}), standing)
            standing = standing[self.correct(f"{net}.patch-{cells}", standing)]
            if not len(standing):
                break

    def smoothed(self, net: str) -> None:
        """A patch of 1 cell against a smoothed network, and the patches that were made without smoothing."""
        self.attack(net, "patch-1", self.patch, self.batch)
        if not self.context.has(f"{net}.transfer-1"):
            found = self.context.examples("vit.patch-1", self.batch)
            self.context.predict(f"{net}.transfer-1", self.nets[net], self.batch, examples=found)

    def scan(self, net: str) -> None:
        """A patch in many places of each image: copies of it, each with a cell of its own at random."""
        few = self.batch[slice(0, self.paper.scanned)]
        rows = torch.arange(len(few)).repeat_interleave(self.paper.places)
        ids = tuple(f"{few.ids[row]}@{i % self.paper.places}" for i, row in enumerate(rows.tolist()))
        copies = replace(few[rows], ids=ids)
        patch = self.patch.model_copy(update={"steps": self.paper.scan_steps, "restarts": 1})
        self.attack(net, "scan", patch, copies)
        if not self.context.has("scan", "places"):
            cells = patch.placed(copies, self.context.seed)[:, 0, :: self.side, :: self.side].flatten(1)
            cell = cells.float().argmax(1)
            across = self.batch.images.shape[3] // self.side
            columns = {"row": cell // across, "column": cell % across, "rows": cells.shape[1] // across}
            self.context.write("places", "scan", {"id": list(ids), **columns, "columns": across})

    def move(self, net: str) -> None:
        """A patch of one cell of a grid that is moved by half a token."""
        self.attack(net, "moved-1", self.patch.model_copy(update={"offset": max(1, self.side // 2)}), self.batch)

    def fool(self, net: str) -> None:
        """Every variant of Patch-Fool that the network allows; attention chooses in a third of the depth."""
        layer = len(attention_layers(self.pair.vit)) // 3
        for name, options in FOOLS.items():
            if net == "vit" or name not in OF_ATTENTION:
                pixels = round(options.get("pixels", 0) * self.side**2)
                given = {**options, "pixels": pixels, "size": self.side, "steps": self.paper.fool_steps}
                self.attack(net, f"fool-{name}", PatchFool(layer=layer, **given), self.batch)

    def attack(self, net: str, label: str, patch: Attack[Any], batch: Batch) -> None:
        """Rows of an attack, and its images where one cell was free."""
        self.context.evaluate(f"{net}.{label}", patch, self.nets[net], batch, keep_images=label == "patch-1")

    def attention(self) -> None:
        """Attention to one cell: clean, under noise, and under the patch that the attack found."""
        if all(self.context.has(f"vit.attention-{state}", "attention") for state in STATES):
            return
        mask = self.patch.placed(self.batch, self.context.seed)
        noisy = GaussianNoise(preset="imagenet").apply(self.batch, 3, self.context.seed).images
        attacked = self.context.examples("vit.patch-1", self.batch).images
        shown = (self.batch.images, paste(self.batch.images, noisy, mask), attacked)
        token = mask[:, 0, :: self.side, :: self.side].flatten(1).float().argmax(1)
        for state, images in zip(STATES, shown, strict=True):
            label = f"vit.attention-{state}"
            if not self.context.has(label, "attention"):
                on_cell, rolled = attention_to(self.pair.vit, images, token, self.grid)
                layers = enumerate(zip(on_cell, rolled, strict=True))
                columns = [{"id": self.batch.ids, "layer": i, "on_cell": a, "rollout": b} for i, (a, b) in layers]
                self.context.write("attention", label, columns)

    def correct(self, label: str, batch: Batch) -> Tensor:
        """Whether each sample of a batch is predicted correctly under a condition, bool `[N]`, from rows."""
        rows = self.context.rows().table("outcomes", label)
        found = dict(zip(rows["id"].to_pylist(), rows["correct"].to_pylist(), strict=True))
        return torch.tensor([found[i] for i in batch.ids], dtype=torch.bool)
