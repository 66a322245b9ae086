"""Train two small networks on CIFAR-10 for the benchmarks, one plainly and one adversarially (linf 8/255).

    UNSHAKEN_DATA=DIR python scripts/train_cifar.py standard --out cifar-standard.safetensors
    UNSHAKEN_DATA=DIR python scripts/train_cifar.py robust --out cifar-robust.safetensors

The networks are `small` at three channels and 32 pixels: 73,898 parameters, batch norm, images in [0, 1] without
further normalisation, so that `weights:FILE?arch=small` loads them. `--data` names another set of that size; its split
`train` is learnt from and its split `test` is looked at once, at the end, and chooses nothing. The last thousand
training images are held out for the lines printed on the way. On one CPU core `standard` takes about four minutes and
`robust` about fifteen for 20,000 images.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from train_demo import evaluate, pgd

import unshaken
from unshaken.core import Batch
from unshaken.core.oracle import required
from unshaken.data import stream
from unshaken.models.networks.small import SmallNet

EPS = 8 / 255
HELD_OUT = 1000


def read(spec: str, split: str) -> tuple[Tensor, Tensor]:
    """One split of a set: images [N, 3, 32, 32] in [0, 1] and labels [N]."""
    data = unshaken.load_data(f"{spec}?split={split}")
    parts = [part for part in stream(data, range(len(data)), batch_size=1000) if isinstance(part, Batch)]
    return torch.cat([part.images for part in parts]), torch.cat([required(part.labels) for part in parts])


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random mirror and a shift of up to four pixels, one draw a sample."""
    n, side = len(images), images.shape[-1]
    padded = F.pad(images, (4, 4, 4, 4), mode="reflect").permute(0, 2, 3, 1)
    dy, dx = (torch.randint(0, 9, (n, 1, 1), generator=generator) for _ in range(2))
    rows, cols = torch.arange(side)[None, :, None] + dy, torch.arange(side)[None, None, :] + dx
    shifted = padded[torch.arange(n)[:, None, None], rows, cols].permute(0, 3, 1, 2)
    flip = torch.rand(n, generator=generator) < 0.5
    return torch.where(flip[:, None, None, None], shifted.flip(3), shifted)


def train(kind: str, spec: str, epochs: int, steps: int, seed: int) -> tuple[nn.Module, dict[str, float]]:
    """Train with cross-entropy and keep the average of the weights."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.set_rng_state(generator.get_state())
        model = SmallNet(channels=3, side=32)
    x, y = read(spec, "train")
    x, y, held_x, held_y = x[:-HELD_OUT], y[:-HELD_OUT], x[-HELD_OUT:], y[-HELD_OUT:]
    model.to(memory_format=torch.channels_last)
    mean = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995), use_buffers=True
    )
    size = 128
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.1, epochs * (len(x) // size), pct_start=0.2)
    for epoch in range(epochs):
        began = time.time()
        for index in torch.randperm(len(x), generator=generator)[: len(x) // size * size].split(size):
            images, labels = augment(x[index], generator), y[index]
            images = images.contiguous(memory_format=torch.channels_last)
            if kind == "robust":
                model.eval()
                warm = EPS * min(1.0, (epoch + 1) / 3)
                images = pgd(model, images, labels, warm, steps, 1.5 * warm / steps, generator)
            model.train()
            loss = F.cross_entropy(model(images), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            mean.update_parameters(model)
        line = f"loss {loss.item():.3f}, held-out {evaluate(mean.module, held_x, held_y, EPS, 0):.4f}"
        if epoch % 4 == 3:
            line += f", PGD-20 {evaluate(mean.module, held_x, held_y, EPS, 20):.4f}"
        print(f"epoch {epoch + 1}/{epochs}: {line}, {time.time() - began:.0f} s", flush=True)
    test_x, test_y = read(spec, "test")
    figures = {
        "clean": evaluate(mean.module, test_x, test_y, EPS, 0),
        "pgd20_linf_8_255": evaluate(mean.module, test_x, test_y, EPS, 20),
    }
    return mean.module, figures


def main() -> None:
    """Parse, train, save the weights and the figures beside them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["standard", "robust"])
    parser.add_argument("--data", default="cifar10", help="a set with the splits train and test (default cifar10)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=0, help="default 20 (standard) or 24 (robust)")
    parser.add_argument("--steps", type=int, default=3, help="of the inner search of robust training (default 3)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    epochs = options.epochs or {"standard": 20, "robust": 24}[options.kind]
    net, figures = train(options.kind, options.data, epochs, options.steps, options.seed)
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, options.out)
    record = {"kind": options.kind, "epochs": epochs, "steps": options.steps, "seed": options.seed, **figures}
    options.out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    print(figures)


if __name__ == "__main__":
    main()
