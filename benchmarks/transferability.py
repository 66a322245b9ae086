"""Which changes of the momentum attack make examples fool other networks, by source and target.

    python benchmarks/transferability.py --images 200

Four networks (two convolutional ones, a vision transformer, a perceptron) are trained here on the first
`--train` images of Fashion-MNIST's training half. Images of its test half that all four classify rightly are attacked
on each network by `mi-fgsm`, plain and with one change at a time (DI, TI, SI, VT) and with all, in linf at `--eps`,
all steps made. Printed is the share of examples that each network misclassifies, by a pass of its own, with the 95 %
interval of Clopper and Pearson; on the diagonal the source itself. `others` is the mean over the twelve pairs of two
networks.
"""

from __future__ import annotations

import argparse
import time

import torch
import torch.nn.functional as F
from _peers import first_images, machine
from torch import Tensor, nn

from unshaken.attack import MIFGSM, Transfer
from unshaken.core import Classifier
from unshaken.measure.statistics.intervals import share
from unshaken.models.networks.architectures import build

NETWORKS = ("small-cnn", "strided", "small-vit", "perceptron")
CHANGES = {
    "MI": {},
    "DI": {"diversity": 0.7, "smallest": 0.8},
    "TI": {"kernel": 3},
    "SI": {"scales": 5},
    "VT": {"neighbours": 10},
    "all": {"diversity": 0.7, "smallest": 0.8, "kernel": 3, "scales": 5, "neighbours": 10},
}


def train(name: str, images: Tensor, labels: Tensor, epochs: int) -> Classifier:
    """A network of this name, trained by AdamW."""
    torch.manual_seed(0)
    if name == "perceptron":
        net: nn.Module = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    elif name == "strided":
        net = nn.Sequential(nn.Conv2d(1, 32, 5, 2), nn.GELU(), nn.Conv2d(32, 64, 5, 2), nn.GELU(), nn.Flatten())
        net = nn.Sequential(net, nn.Linear(1024, 10))
    else:
        net = build(name, classes=10, channels=1)
    descent = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(64):
            descent.zero_grad()
            F.cross_entropy(net((images[rows] - 0.5) / 0.5), labels[rows]).backward()
            descent.step()
    return Classifier(net.requires_grad_(False), mean=[0.5], std=[0.5], name=name).eval()


def main() -> None:
    """Train, attack, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200, help="images attacked")
    parser.add_argument("--train", type=int, default=4000, help="images learned from")
    parser.add_argument("--epochs", type=int, default=4, help="passes over them")
    parser.add_argument("--eps", type=float, default=0.1, help="linf radius, for pixels in [0, 1]")
    options = parser.parse_args()
    seen = first_images(options.train, "fashion-mnist?split=train")
    models = [train(name, *seen, options.epochs) for name in NETWORKS]
    images, labels = first_images(2 * options.images, "fashion-mnist?split=test")
    right = torch.stack([m(images).argmax(1) == labels for m in models])
    accuracies = ", ".join(f"{m.name} {r.float().mean():.1%}" for m, r in zip(models, right, strict=True))
    print(f"{machine()}\n\naccuracy on the first {len(labels)} test images: {accuracies}")
    chosen = right.all(0).nonzero().flatten()[: options.images]
    images, labels = images[chosen], labels[chosen]
    print(f"{len(images)} images are attacked, linf eps {options.eps:g}")
    for change, values in CHANGES.items():
        attack, began, pairs = MIFGSM(**values), time.process_time(), []
        print(f"\n| {change}, source | " + " | ".join(NETWORKS) + " |\n|" + "---|" * (len(NETWORKS) + 1))
        for source in models:
            moved = Transfer(search=text(values)).perturb(source, images, labels, eps=options.eps)
            cells = []
            for target in models:
                broken = int((target(moved.images).argmax(1) != labels).sum())
                figure = share(broken, len(images))
                cells.append(f"{figure.value:.1%} ({figure.low:.1%} to {figure.high:.1%})")
                if target is not source:
                    pairs.append(broken / len(images))
            print(f"| {source.name} | " + " | ".join(cells) + " |", flush=True)
        spent = time.process_time() - began
        cost = attack.cost(10)[0]
        print(
            f"\n{change}: others {sum(pairs) / len(pairs):.1%}, {cost} gradients an image, {spent:.0f} s of processor"
        )


def text(values: dict[str, float]) -> str:
    """The method as text."""
    return "mi-fgsm" + (":" + ",".join(f"{k}={v}" for k, v in values.items()) if values else "")


if __name__ == "__main__":
    main()
