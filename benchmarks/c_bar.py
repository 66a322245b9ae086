"""C-bar: time a picture and parity, against the published code, in one run on one machine.

    git clone https://github.com/facebookresearch/augmentation-corruption
    python benchmarks/c_bar.py --peer augmentation-corruption/imagenet_c_bar [--side 32|224] [--pictures 2]

For every corruption of the set for that size (CIFAR-10-C-bar at 32 pixels, ImageNet-C-bar at 224), at the middle
strength: the processor time of a picture here (`unshaken.corrupt`, 8 bits in and out, after one unmeasured call) and
there (its draws included); and, with the parameters that the published code drew, the largest difference of 8-bit
levels and the share of values that differ.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

import unshaken
from unshaken.core.registry import find_method
from unshaken.run.plan import CIFAR_C_BAR, IMAGENET_C_BAR
from unshaken.stress.c_bar import blue_noise_sample as blue
from unshaken.stress.c_bar import brownish_noise as brown
from unshaken.stress.c_bar import caustic_refraction as caustic
from unshaken.stress.c_bar import checkerboard_cutout as board
from unshaken.stress.c_bar import circular_motion_blur as circular
from unshaken.stress.c_bar import cocentric_sine_waves as rings
from unshaken.stress.c_bar import lines as grey_lines
from unshaken.stress.c_bar import perlin_noise as perlin
from unshaken.stress.c_bar import pinch_and_twirl as pinch
from unshaken.stress.c_bar import plasma_noise as plasma
from unshaken.stress.c_bar import ripple, single_frequency_greyscale, sparkles
from unshaken.stress.c_bar import transverse_chromatic_abberation as chromatic
from unshaken.stress.engine.base import to_8_bit

Pixels = NDArray[np.uint8]
Drawn = Mapping[str, Any]


def picture(side: int, seed: int) -> Pixels:
    """A smooth random picture `[side, side, 3]`."""
    rng = np.random.default_rng(seed)
    total = np.zeros((side, side, 3))
    for cells in (3, 7, 15):
        coarse = rng.normal(size=(cells, cells, 3)) / cells**0.6
        total += ndimage.zoom(coarse, (side / cells, side / cells, 1), order=1, grid_mode=True, mode="nearest")
    low, high = np.quantile(total, (0.02, 0.98))
    return np.asarray(np.clip((total - low) / (high - low), 0, 1) * 255, np.uint8)


def phases(rng: np.random.RandomState, side: int) -> Tensor:
    """The published code's draws of one channel."""
    half = torch.from_numpy(rng.uniform(0, 2 * np.pi, (side, side // 2)))
    middle = torch.from_numpy(rng.uniform(0, 2 * np.pi, (side // 2, 1))[:, 0]) if side % 2 else None
    return brown.mirrored_phases(half, middle)


def _brown(x: Tensor, p: Drawn) -> Tensor:
    rng = np.random.RandomState(p["seed"])
    noise = [brown.spectral_noise(phases(rng, x.shape[1]), brown.brown) for _ in range(3)]
    return x + torch.stack(noise) * p["intensity"] / 255


def _blue(x: Tensor, p: Drawn) -> Tensor:
    noise = brown.spectral_noise(phases(np.random.RandomState(p["seed"]), x.shape[1]), blue.blue)
    return x * (noise > p["threshold"])


def _board(x: Tensor, p: Drawn) -> Tensor:
    cell = float(p["scales"][0])
    count = int(4 * x.shape[1] // cell)
    covered = np.random.RandomState(p["seed"]).uniform(size=(count, count)) < p["fraction"]
    return torch.where(board.covered_cells(x, p["angle"], cell, torch.from_numpy(covered)), board.GREY, x)


def _perlin(x: Tensor, p: Drawn) -> Tensor:
    made = importlib.import_module("utils.perlin_noise").PerlinNoiseGenerator(np.random.RandomState(p["seed"]))
    rows = torch.arange(x.shape[1], dtype=torch.float64) * float(p["m"][0, 0])
    order, gradients = torch.tensor(made.p[:256]), torch.tensor(made.g[:256])
    clouds = perlin.turbulence(rows[:, None], rows[None], order, gradients, int(p["turbulence"]))
    return torch.lerp(x, (clouds * p["gain"] + p["bias"]).clamp(0, 1).expand_as(x), p["alpha"])


def _plasma(x: Tensor, p: Drawn) -> Tensor:
    colours = plasma.plasma_colours(x, p["time"], p["iterations"], p["sharpness"], p["scale"])
    return x * (1 - p["intensity"] / 255) + colours * (p["intensity"] / 255)


def _wave(x: Tensor, p: Drawn) -> Tensor:
    wave = single_frequency_greyscale.plane_wave(x, torch.from_numpy(p["freq"]), p["phase"])
    return x + wave * p["intensity"] / 255


def _rings(x: Tensor, p: Drawn) -> Tensor:
    centre = float(p["offset"][1]), float(p["offset"][0])
    return x + rings.sine_rings(x, centre, p["freq"], p["amplitude"], p["ring_width"]) * p["intensity"][0] / 255


def _sparkles(x: Tensor, p: Drawn) -> Tensor:
    rng = np.random.RandomState(p["seed"])
    for centre, count, radius in zip(p["centers"], p["nrays"], p["radii"], strict=True):
        lengths = torch.tensor([max(1, radius + 0.25 * radius * rng.randn()) for _ in range(count)])
        x = x + (1 - x) * sparkles.star(x, tuple(centre), lengths.double(), 1.0)
    return x


def _inverse(x: Tensor, p: Drawn) -> Tensor:
    rng = np.random.RandomState(p["seed"])
    lengths = torch.tensor([p["radius"] * (1 + 0.25 * rng.randn()) for _ in range(p["rays"])]).double()
    return 1 + (x - 1) * sparkles.star(x, tuple(p["center"]), lengths, (100 - p["amount"]) / 50)


def _ripple(x: Tensor, p: Drawn) -> Tensor:
    waves, shifts = torch.from_numpy(p["wavelengths"]), torch.from_numpy(p["phases"])
    return ripple.ripple(x, float(p["amplitudes"][0]), waves, shifts)


def _pinch(x: Tensor, p: Drawn) -> Tensor:
    angles = torch.from_numpy(p["angles"].T.copy())
    return pinch.pinch_and_twirl(x, x.shape[1] // p["num_per_axis"], p["amount"], angles)


def _lines(x: Tensor, p: Drawn) -> Tensor:
    rng, n, ends = np.random.RandomState(p["seed"]), x.shape[1], []
    for _ in range(int(p["density"] * n)):
        row, column = n * rng.uniform(), n * rng.uniform()
        angle = p["angle"] + 2 * np.pi * p["angle_variation"] * (rng.uniform() - 0.5)
        dy, dx = np.cos(angle) * n, np.sin(angle) * n
        ends.append(((int(row - dy), int(column - dx)), (int(row + dy), int(column + dx))))
    return grey_lines.draw_lines(x, ends)


def _caustic(x: Tensor, p: Drawn) -> Tensor:
    return caustic.refract(x, caustic.caustics(x, p["time"], p["size"]), p["lens_scale"], p["lighting_amount"])


SAME: Mapping[str, Callable[[Tensor, Drawn], Tensor]] = {
    "blue_noise_sample": _blue,
    "brownish_noise": _brown,
    "caustic_refraction": _caustic,
    "checkerboard_cutout": _board,
    "circular_motion_blur": lambda x, p: circular.circular_motion_blur(x, p["amount"]),
    "cocentric_sine_waves": _rings,
    "inverse_sparkles": _inverse,
    "lines": _lines,
    "perlin_noise": _perlin,
    "pinch_and_twirl": _pinch,
    "plasma_noise": _plasma,
    "ripple": _ripple,
    "single_frequency_greyscale": _wave,
    "sparkles": _sparkles,
    "transverse_chromatic_abberation": lambda x, p: chromatic.enlarge_channels(x, p["scales"].tolist()),
}
"""The corruption with the parameters that the published code drew, float64 `[3, H, W]` in [0, 1]."""


def measure(name: str, transform: Any, pictures: list[Pixels], severity: int = 3) -> str:
    """A row of the table."""
    preset = "cifar" if len(pictures[0]) == 32 else "imagenet"
    unshaken.corrupt(pictures[0], name, severity, preset=preset)
    ours, theirs, gap, differing = 0.0, 0.0, 0.0, []
    for pixels in pictures:
        start = time.process_time()
        unshaken.corrupt(pixels, name, severity, preset=preset)
        middle = time.process_time()
        drawn = transform.sample_parameters()
        published = transform.transform(pixels, **drawn).astype(float)
        ours, theirs = ours + middle - start, theirs + time.process_time() - middle
        exact = SAME[name](torch.from_numpy(pixels).permute(2, 0, 1).double() / 255, drawn)
        levels = np.rint(to_8_bit(exact.clamp(0, 1)).permute(1, 2, 0).numpy() * 255)
        gap = max(gap, float(np.abs(levels - published).max()))
        differing.append(float((levels != published).mean()))
    ours, theirs = (1e3 * seconds / len(pictures) for seconds in (ours, theirs))
    return f"| {name} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.1f} | {gap:.0f} | {np.mean(differing):.1e} |"


def main() -> None:
    """Parse the command line, measure, print Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peer", type=Path, required=True, help="folder imagenet_c_bar of the published code")
    parser.add_argument("--side", type=int, choices=[32, 224], default=32, help="pixels, which also choose the set")
    parser.add_argument("--pictures", type=int, default=2, help="number of pictures")
    arguments = parser.parse_args()
    if not (arguments.peer / "corrupt.py").is_file():
        raise SystemExit(f"no corrupt.py in {arguments.peer}: clone facebookresearch/augmentation-corruption")
    sys.path.insert(0, str(arguments.peer))
    vars(np)["int"] = int  # the published code is older than numpy 1.24
    published = {t.name: t for t in vars(importlib.import_module("corrupt")).values() if hasattr(t, "name")}
    np.random.seed(0)  # noqa: NPY002
    torch.set_num_threads(1)
    pictures = [picture(arguments.side, seed) for seed in range(arguments.pictures)]
    print(f"{arguments.pictures} pictures of {arguments.side} px, one thread, processor time, {time.strftime('%F')}.\n")
    print("| corruption | ms | published, ms | ratio | largest difference | differ |\n|---|---|---|---|---|---|")
    for name in CIFAR_C_BAR if arguments.side == 32 else IMAGENET_C_BAR:
        strength = find_method(name, "stress").cls().strength(arguments.side, 3)
        print(measure(name, published[name](severity=strength, im_size=arguments.side), pictures), flush=True)


if __name__ == "__main__":
    main()
