"""Train the two small networks of the embedded default on Fashion-MNIST, one plainly and one adversarially.

    python scripts/train_demo.py standard --data /usr/share/datasets/fashion-mnist --out standard.safetensors
    python scripts/train_demo.py robust --data /usr/share/datasets/fashion-mnist --out robust.safetensors

The test set is looked at once, at the end, and chooses nothing. On two CPU cores `standard` takes about two minutes
and `robust` about ten.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from unshaken.models.networks.small import SmallNet

MEAN, STD = 0.2860, 0.3530


def read(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """One part of an MNIST-format folder: images [N, 1, 28, 28] in [0, 1] and labels [N]."""
    images = np.frombuffer(gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    labels = np.frombuffer(gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    return torch.from_numpy(images.copy()).view(-1, 1, 28, 28).float() / 255, torch.from_numpy(labels.copy()).long()


class Normalised(nn.Module):
    """The network behind its input normalisation, as it is used afterwards."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Images in [0, 1] to logits."""
        return self.net((images - MEAN) / STD)


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random mirror and a shift of up to two pixels, one draw a sample."""
    n = len(images)
    padded = F.pad(images, (2, 2, 2, 2))
    dy, dx = (torch.randint(0, 5, (n, 1, 1), generator=generator) for _ in range(2))
    rows, cols = torch.arange(28)[None, :, None] + dy, torch.arange(28)[None, None, :] + dx
    shifted = padded[torch.arange(n)[:, None, None], 0, rows, cols].unsqueeze(1)
    flip = torch.rand(n, generator=generator) < 0.5
    return torch.where(flip[:, None, None, None], shifted.flip(3), shifted)


def pgd(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, steps: int, size: float, generator: torch.Generator
) -> Tensor:
    """Projected gradient ascent on the cross-entropy inside the linf ball, the last point kept."""
    point = (x + (torch.rand(x.shape, generator=generator) * 2 - 1) * eps).clamp(0, 1)
    for _ in range(steps):
        point.requires_grad_(True)
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(point), y, reduction="sum"), point)
        point = (point.detach() + size * gradient.sign()).clamp(x - eps, x + eps).clamp(0, 1)
    return point.detach()


def evaluate(model: nn.Module, x: Tensor, y: Tensor, eps: float, steps: int) -> float:
    """Accuracy under PGD (or clean at `steps` 0) in evaluation mode."""
    model.eval()
    generator = torch.Generator().manual_seed(1)
    right = 0
    for xs, ys in zip(x.split(500), y.split(500), strict=True):
        point = pgd(model, xs, ys, eps, steps, eps / 10, generator) if steps else xs
        with torch.no_grad():
            right += int((model(point).argmax(1) == ys).sum())
    return right / len(x)


def train(kind: str, data: Path, epochs: int, seed: int) -> tuple[SmallNet, dict[str, float]]:
    """Train on 58,000 images, keep the average of the weights, choose nothing on the test images."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.set_rng_state(generator.get_state())
        model = Normalised(SmallNet())
    x, y = read(data, "train")
    x, y, held_x, held_y = x[:58000], y[:58000], x[58000:], y[58000:]
    model.to(memory_format=torch.channels_last)
    mean = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.999), use_buffers=True
    )
    size, eps = 128, 0.1
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.1, epochs * (len(x) // size), pct_start=0.2)
    for epoch in range(epochs):
        began = time.time()
        for index in torch.randperm(len(x), generator=generator)[: len(x) // size * size].split(size):
            images, labels = augment(x[index], generator), y[index]
            if kind == "robust":
                model.eval()
                warm = eps * min(1.0, (epoch + 1) / 3)
                images = pgd(model, images, labels, warm, 5, warm * 0.3, generator)
            model.train()
            loss = F.cross_entropy(model(images), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            mean.update_parameters(model)
        clean = evaluate(mean.module, held_x, held_y, eps, 0)
        shaken = evaluate(mean.module, held_x, held_y, eps, 20)
        seconds = time.time() - began
        line = f"loss {loss.item():.3f}, held-out {clean:.4f}, PGD-20 {shaken:.4f}, {seconds:.0f} s"
        print(f"epoch {epoch + 1}/{epochs}: {line}", flush=True)
    test_x, test_y = read(data, "t10k")
    figures = {
        "clean": evaluate(mean.module, test_x, test_y, eps, 0),
        "pgd50_linf_0.1": evaluate(mean.module, test_x, test_y, eps, 50),
    }
    return mean.module.net, figures


def main() -> None:
    """Parse, train, save the weights and the figures beside them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["standard", "robust"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    epochs = options.epochs or {"standard": 10, "robust": 8}[options.kind]
    net, figures = train(options.kind, options.data, epochs, options.seed)
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, options.out)
    record = {"kind": options.kind, "epochs": epochs, "seed": options.seed, **figures}
    options.out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    print(figures)


if __name__ == "__main__":
    main()
