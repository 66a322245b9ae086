"""Certified accuracy of a network alone, and behind the one-step denoisers of this package.

    python benchmarks/denoised_smoothing.py
    python benchmarks/denoised_smoothing.py --images 500 --n 10000 --sigmas 0.25,0.5,1 --keep denoisers

An EDM and a DDPM, each with the package's default U-Net, learn from `--train` training images without labels for
`--steps` steps of 32 images. Then the standard certifier (`smoothing`: n0 = 100 votes to choose, n to judge, alpha
0.001) certifies the same test images, a stratified subset, for the network alone and behind each denoiser at the same
sigma. All contenders see the same noise. The table has the network's accuracy on unchanged images, the share of images
certified with the right class at each l2 radius (radius 0: the smoothed classifier is right and shown to be), the mean
certified radius (wrong and abstained count 0), the share abstained, the mean squared error of the denoised images,
passes a sample and seconds. The network was trained without noise and is not trained further.

Nothing is compared in time here, so nothing is interleaved; seconds are of one run. What was certified follows from
votes and is not judged again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from _peers import machine
from torch import Tensor
from unshaken.generate.fit import fit

from unshaken.certify.smoothing.smoothing import Smoothing
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.classifier import evaluating
from unshaken.core.oracle import required
from unshaken.data import load_data
from unshaken.data.resident import Samples
from unshaken.generate import DDPM, EDM, Fitting, UNet, UNetSettings, load, save
from unshaken.generate.generator import Diffusion
from unshaken.harden.defences.denoise import Denoise
from unshaken.models import load_model

RADII = (0.0, 0.25, 0.5, 0.75, 1.0)


def samples(spec: str, model: Classifier, limit: int, classes: int) -> Samples:
    """A stratified subset in memory."""
    return Samples(load_data(spec), model.view, classes, limit=limit)


def trained(kind: type[EDM] | type[DDPM], path: Path, images: Tensor, options: argparse.Namespace) -> str:
    """A denoiser in its file, trained unless it is there."""
    if path.is_file():
        return f"{kind.kind}: taken from {path.name}"
    net = UNet(UNetSettings(image=tuple(images.shape[1:])), seed=options.seed)
    began = time.perf_counter(), time.process_time()
    made = fit(kind(net), images, None, Fitting(steps=options.steps, lr=options.lr, seed=options.seed))
    wall, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
    save(made.model, path)
    loss = sum(made.losses[-50:]) / len(made.losses[-50:])
    weights = sum(p.numel() for p in net.parameters())
    return (
        f"{kind.kind}: {weights:,} weights, {options.steps} steps, {wall:.0f} s ({cpu:.0f} s of CPU), loss {loss:.3f}"
    )


def certified(model: Classifier, batch: Batch, sigma: float, options: argparse.Namespace) -> list[str]:
    """Cells of one line of the table."""
    labels = required(batch.labels)
    began = time.perf_counter()
    with evaluating(model), torch.no_grad():
        clean = float(model(batch.images).argmax(1).eq(labels).double().mean())
        found = Smoothing(sigma=sigma, n=options.n).certify(Oracle(model), batch, seed=options.seed)
    right = ~found.abstained & (found.prediction == labels)
    shares = [float((right & (found.radius >= r)).double().mean()) for r in RADII]
    return [
        f"{clean:.0%}",
        *(f"{share:.0%}" for share in shares),
        f"{float((found.radius * right).mean()):.3f}",
        f"{float(found.abstained.double().mean()):.0%}",
        f"{float(found.tally.forwards.double().mean()):,.0f}",
        f"{time.perf_counter() - began:.0f}",
    ]


def error(denoiser: Diffusion | None, images: Tensor, sigma: float) -> str:
    """Mean squared error of noisy, or denoised, images."""
    noisy = images + sigma * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        shown = noisy if denoiser is None else denoiser.denoise(noisy, sigma)
    return f"{float((shown - images).square().mean()):.4f}"


def picture(folder: Path, images: Tensor, path: Path) -> None:
    """Rows of eight: clean, noisy at 0.5, denoised by each model, and samples of each."""
    from torchvision.utils import save_image

    some = images[:8]
    noisy = some + 0.5 * torch.randn(some.shape, generator=torch.Generator().manual_seed(0))
    rows = [some, noisy.clamp(0, 1)]
    models = [load(folder / "edm.safetensors"), load(folder / "ddpm.safetensors")]
    with torch.no_grad():
        rows += [m.denoise(noisy, 0.5) for m in models]
    rows += [m.sample(16) for m in models if isinstance(m, EDM)]
    rows += [m.sample(16, steps=100, eta=0.0) for m in models if isinstance(m, DDPM)]
    save_image(torch.cat(rows), path, nrow=8, pad_value=0.5)


def main() -> None:
    """Train, certify, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo:standard", help="SPEC of the network")
    parser.add_argument("--data", default="fashion-mnist?split=train", help="SPEC of what the denoisers learn from")
    parser.add_argument("--test", default="fashion-mnist?split=test", help="SPEC of what is certified")
    parser.add_argument("--classes", type=int, default=10, help="K")
    parser.add_argument("--train", type=int, default=20000, help="images to learn from")
    parser.add_argument("--steps", type=int, default=1600, help="optimizer steps of each denoiser")
    parser.add_argument("--lr", type=float, default=3e-3, help="largest learning rate")
    parser.add_argument("--images", type=int, default=100, help="images to certify")
    parser.add_argument("--n", type=int, default=1000, help="votes that judge")
    parser.add_argument("--sigmas", default="0.25,0.5", help="deviations of the noise, with commas between")
    parser.add_argument("--keep", type=Path, default=Path("denoisers"), help="folder of the denoisers, used again")
    parser.add_argument("--picture", type=Path, default=None, help="PNG of images, denoised images and samples")
    parser.add_argument("--seed", type=int, default=0, help="of all")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    bare = load_model(options.model)
    data = samples(options.data, bare, options.train, options.classes)
    if data.resident is None:
        raise SystemExit("the training images do not fit into memory: lower --train")
    print(f"{machine()}; {options.images} test images, n = {options.n:,}\n")
    for kind in (EDM, DDPM):
        print(f"- {trained(kind, options.keep / f'{kind.kind}.safetensors', data.resident, options)}", flush=True)
    held = samples(options.test, bare, options.images, options.classes)
    batch = held.whole(held.good)
    if options.picture is not None:
        picture(options.keep, batch.images, options.picture)
    heads = ["sigma", "before the network", "unchanged", *(f"r >= {r:g}" for r in RADII)]
    heads += ["mean radius", "abstained", "passes", "seconds", "squared error"]
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    for sigma in map(float, options.sigmas.split(",")):
        for name in ("nothing", "edm", "ddpm"):
            file = options.keep / f"{name}.safetensors"
            denoiser = None if name == "nothing" else load(file)
            model = bare if denoiser is None else Denoise(denoiser=str(file), sigma=sigma).wrap(bare)
            cells = [f"{sigma:g}", name, *certified(model, batch, sigma, options)]
            print(f"| {' | '.join([*cells, error(denoiser, batch.images, sigma)])} |", flush=True)


if __name__ == "__main__":
    main()
