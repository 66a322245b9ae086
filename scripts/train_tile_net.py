"""Train the networks that score tileability, `demo:tile-net` and `demo:tile-judge`, on made textures in colour.

    python scripts/train_tile_net.py --out tile-net.safetensors
    python scripts/train_tile_net.py --out tile-judge.safetensors --seed 1000

Textures and labels are made as in the row `textile` (`unshaken papers run textile`), with two changes: all five
families are shown, and two planes of a family give each texture its colours. It learns 6,000 textures of 64 pixels,
then 1,000 of 128. The accuracies beside the weights are on textures of other seeds, which chose nothing. On one core
it takes about ten minutes.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from unshaken.core.classifier import Classifier
from unshaken.core.rng import seeded
from unshaken.data.textures import FAMILIES, make_plane
from unshaken.explain.textures.seams import seam_fault
from unshaken.explain.textures.tileability import tile_logits
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.measure import auroc, share
from unshaken.models.networks.tile_net import TileNet
from unshaken_papers.textile.cuts import cut, kinds

SIDES = (64, 128, 256)


def coloured(family: str, side: int, kind: str, seed: int) -> Tensor:
    """A cut of two planes of one family, each along a colour of its own: uint8 `[3, side, side]`."""
    rng = np.random.default_rng([seed, 3])
    period = 2 * side if kind == "crop" else side
    if kind == "whole" and rng.random() < 0.5:  # so that the blur of resampling does not tell the kinds apart
        period = int(rng.integers(side * 3 // 4, side * 5 // 4))
    parts = [cut(make_plane(family, period, 2 * seed + i), side, kind, copy.deepcopy(rng)) for i in (0, 1)]
    rng = np.random.default_rng([seed, 4])
    ways = rng.normal(size=(2, 3)) * np.array([[1.0], [rng.uniform(0, 1)]])
    pixels = np.tensordot(ways, np.stack(parts), (0, 0))
    low, high = pixels.min(), pixels.max()
    contrast = rng.uniform(0.3, 1)
    pixels = (pixels - low) / (high - low) * contrast + rng.uniform(0, 1 - contrast)
    return torch.from_numpy((255 * pixels).round().astype(np.uint8))


def textures(count: int, side: int, seed: int) -> tuple[Tensor, Tensor]:
    """Textures, uint8 `[N, 3, side, side]`, the families in turn, and whether each tiles, int64 `[N]`."""
    names = list(FAMILIES)
    chosen = kinds(count)
    images = [coloured(names[i // 2 % len(names)], side, kind, seed * 100_003 + i) for i, kind in enumerate(chosen)]
    return torch.stack(images), torch.tensor([kind == "whole" for kind in chosen]).long()


def judge(model: Classifier, side: int, count: int) -> dict[str, object]:
    """Accuracy and AUROC on textures of a side that training has not seen, and the seam ratio's AUROC beside it."""
    images, labels = textures(count, side, 1_000 + side)
    points = images.float() / 255
    with torch.no_grad():
        logits = torch.cat([tile_logits(model, part) for part in points.split(64)])
    tiles = (labels == 1).numpy()

    def area(faulty: Tensor) -> dict[str, object]:
        return auroc(faulty.numpy()[tiles], faulty.numpy()[~tiles]).to_json()

    hits = (logits > 0) == (labels == 1)
    return {
        "side": side, "accuracy": share(int(hits.sum()), count).to_json(), "auroc": area(-logits),
        "seam_ratio_auroc": area(seam_fault(points).clamp(max=10)),
    }  # fmt: skip


def main() -> None:
    """Parse, train at the smallest side and then at the next, save the weights and the figures beside them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--textures", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--tested", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with seeded(options.seed):
        model = Classifier(TileNet(2, 3, SIDES[0]))
    for place, (side, divisor, lr) in enumerate(((64, 1, 4e-3), (128, 6, 1e-3))):
        images, labels = textures(options.textures // divisor, side, options.seed + place)
        epochs = max(1, options.epochs // (1 + place))
        training = Training(
            epochs=epochs, seed=options.seed, optimizer="adamw", lr=lr, weight_decay=1e-2, held_out=1,
            check_every=epochs, select="last",
        )  # fmt: skip
        model = fit(model, images, labels, [CropFlip(pad=0)], training, classes=2).model
        print(f"side {side}: trained on {len(images)} textures", flush=True)
    weights = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in model.net.state_dict().items()}
    model.net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    save_file(weights, options.out)
    figures = [judge(model.eval(), side, options.tested) for side in SIDES]
    digest = hashlib.sha256(options.out.read_bytes()).hexdigest()
    record = {
        "textures": options.textures,
        "epochs": options.epochs,
        "seed": options.seed,
        "sha256": digest,
        "figures": figures,
    }
    options.out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
