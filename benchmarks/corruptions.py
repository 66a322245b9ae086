"""Common corruptions: time a picture and parity, against `imagecorruptions-imaug`, in one run on one machine.

    python benchmarks/corruptions.py [--images FILE.parquet|FOLDER] [--side 224] [--threads 1] [--repeats 5]
                                     [--clock cpu|wall] [--parity]

Every corruption that both have is measured at severities 1 to 5 with the strengths for 224 pixels, in three ways:
`array`, our `unshaken.corrupt` on one 8-bit picture `[H, W, 3]` after another, 8 bits in and 8 bits out; `peer`, its
`corrupt` on the same arrays, likewise; and `batch`, our float32 tensors `[N, 3, H, W]` in and out, as an audit uses
them. The comparison of like with like is array against peer. All are warm (one unmeasured call) and take turns, so that
a busy moment hits all. A repeat's time is that of a picture, the mean of the five severities; shown are the median over
the repeats and, in brackets, the least and the most. A ratio is the median of the repeats' ratios. The clock counts the
processor time of this process, or the wall's.
"""

from __future__ import annotations

import argparse
import io
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import torch
from imagecorruptions import corrupt, get_corruption_names
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, stats

import unshaken
from unshaken.core import Batch, list_methods
from unshaken.stress.engine.base import Corruption

SEVERITIES = (1, 2, 3, 4, 5)
Pixels = NDArray[np.uint8]


def load(source: Path | None, side: int, count: int) -> list[Pixels]:
    """Pictures `[side, side, 3]`: resized and cut to the centre; smooth random ones without a source."""
    if source is None:
        return [_random_picture(side, seed) for seed in range(count)]
    if source.suffix == ".parquet":
        cells = pq.read_table(source, columns=["image"]).column("image")[:count].to_pylist()
        opened = [Image.open(io.BytesIO(c["bytes"] if isinstance(c, dict) else c)) for c in cells]
    else:
        files = sorted(p for p in source.rglob("*") if p.suffix.lower() in {".png", ".jpg", ".jpeg"})
        opened = [Image.open(p) for p in files[:count]]
    if not opened:
        raise SystemExit(
            f"no picture in {source}: give a Parquet file with a column `image`, or a folder of PNG or JPEG"
        )
    return [_cut(picture.convert("RGB"), side) for picture in opened]


def _cut(picture: Image.Image, side: int) -> Pixels:
    scale = side / min(picture.size)
    picture = picture.resize([max(side, round(s * scale)) for s in picture.size], Image.Resampling.BILINEAR)
    left, top = ((s - side) // 2 for s in picture.size)
    return np.asarray(picture.crop((left, top, left + side, top + side)))


def _random_picture(side: int, seed: int) -> Pixels:
    rng = np.random.default_rng(seed)
    picture = np.zeros((side, side, 3))
    for cells in (3, 7, 15, 40):
        coarse = rng.normal(size=(cells, cells, 3)) / cells**0.6
        picture += ndimage.zoom(coarse, (side / cells, side / cells, 1), order=1, grid_mode=True, mode="nearest")
    low, high = np.quantile(picture, (0.02, 0.98))
    return np.asarray(np.clip((picture - low) / (high - low), 0, 1) * 255, np.uint8)


def to_batch(pictures: Sequence[Pixels]) -> Batch:
    """The pictures as the package takes them."""
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous().float() / 255
    return Batch(images, None, tuple(str(i) for i in range(len(pictures))))


def shared() -> dict[str, type[Corruption]]:
    """Name to class of every registered corruption that the peer has, in the peer's order."""
    ours = {m.name: m.cls for m in list_methods("stress") if issubclass(m.cls, Corruption)}
    return {name: ours[name] for name in get_corruption_names("all") if name in ours}


Clock = Callable[[], float]


def time_one(
    name: str, method: Corruption, severity: int, pictures: Sequence[Pixels], repeats: int, clock: Clock
) -> NDArray[Any]:
    """Milliseconds a picture `[repeats, 3]`: our arrays, our batch, the peer's arrays."""
    batch = to_batch(pictures)

    def arrays() -> None:
        for picture in pictures:
            unshaken.corrupt(picture, name, severity, preset="imagenet")

    def tensors() -> None:
        method.apply(batch, severity)

    def theirs() -> None:
        with redirect_stdout(io.StringIO()):  # the peer prints when shapes surprise it
            for picture in pictures:
                corrupt(picture, severity=severity, corruption_name=name)

    def seconds(call: Callable[[], None]) -> float:
        start = clock()
        call()
        return clock() - start

    ways = (arrays, tensors, theirs)
    for way in ways:
        way()
    return np.array([[seconds(way) for way in ways] for _ in range(repeats)]) * 1e3 / len(pictures)


def speed_table(pictures: Sequence[Pixels], repeats: int, clock: Clock) -> list[str]:
    """Markdown rows: milliseconds a picture, averaged over severities; the last rows sum over the corruptions."""
    rows = [
        "| corruption | array, ms | batch, ms | peer, ms | peer / array | peer / batch |",
        "|---|---|---|---|---|---|",
    ]
    common = get_corruption_names("common")
    total = {"common": np.zeros((repeats, 3)), "all": np.zeros((repeats, 3))}
    methods = shared()
    for name, cls in methods.items():
        method = cls(preset="imagenet")
        times = np.mean([time_one(name, method, s, pictures, repeats, clock) for s in SEVERITIES], axis=0)
        rows.append(_speed_row(name, times))
        total["all"] += times
        total["common"] += times * (name in common)
    present = sum(name in common for name in methods)
    rows.append(_speed_row(f"**mean of the {present} of 15 common x 5**", total["common"] / max(present, 1)))
    rows.append(_speed_row(f"**mean of all {len(methods)} x 5**", total["all"] / len(methods)))
    missing = [name for name in get_corruption_names("all") if name not in methods]
    return rows + ([f"\nNot registered here: {', '.join(missing)}."] if missing else [])


def _speed_row(name: str, times: NDArray[Any]) -> str:
    cells = [f"{statistics.median(t):.2f} [{min(t):.2f}, {max(t):.2f}]" for t in times.T]
    ratios = [statistics.median(times[:, 2] / times[:, way]) for way in (0, 1)]
    cells += [f"{ratio:.2f}{' (slower)' if ratio < 1 else ''}" for ratio in ratios]
    return f"| {name} | {' | '.join(cells)} |"


def parity_table(pictures: Sequence[Pixels]) -> list[str]:
    """Markdown rows: 8-bit values compared, or for random corruptions the distribution of the change."""
    rows = [
        "| corruption | severity | largest difference | share that differ | distribution |",
        "|---|---|---|---|---|",
    ]
    batch = to_batch(pictures)
    for name, cls in shared().items():
        for severity in SEVERITIES:
            ours = (cls(preset="imagenet").apply(batch, severity).images * 255).round().permute(0, 2, 3, 1).numpy()
            with redirect_stdout(io.StringIO()):
                theirs = np.stack([corrupt(p, severity=severity, corruption_name=name) for p in pictures]).astype(float)
                again = np.stack([corrupt(p, severity=severity, corruption_name=name) for p in pictures]).astype(float)
            if (theirs == again).all():
                gap = np.abs(ours - theirs)
                rows.append(f"| {name} | {severity} | {gap.max():.0f} | {(gap > 0).mean():.2e} | |")
            else:
                rows.append(f"| {name} | {severity} | random | | {_distribution(ours, theirs, again, batch)} |")
    return rows


def _distribution(ours: NDArray[Any], theirs: NDArray[Any], again: NDArray[Any], batch: Batch) -> str:
    """Two-sample comparison of the change of level; the peer against its own second run shows what chance alone does.

    The Kolmogorov-Smirnov test is on one value in 997. Where one draw rules a whole picture (an angle, a texture, a
    fog) values are not independent, and only the comparison of the two p-values says something.
    """
    clean = (batch.images * 255).round().permute(0, 2, 3, 1).numpy()
    one, two, three = ((x - clean).ravel() for x in (ours, theirs, again))
    p, chance = (stats.ks_2samp(x[::997], two[::997]).pvalue for x in (one, three))
    figures = [f"mean {a.mean():+.2f} sd {a.std():.2f}" for a in (one, two, three)]
    return f"KS p = {p:.3f} (peer with itself {chance:.3f}); ours {figures[0]}; peer {figures[1]}, again {figures[2]}"


def main() -> None:
    """Parse the command line, measure, print Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=Path, help="Parquet file with a column `image`, or a folder; default: random")
    parser.add_argument("--side", type=int, default=224, help="pixels; at least 32, the peer's least")
    parser.add_argument("--count", type=int, default=16, help="pictures in a batch")
    parser.add_argument("--threads", type=int, default=1, help="for both")
    parser.add_argument("--repeats", type=int, default=5, help="measured calls of each")
    parser.add_argument("--clock", choices=["cpu", "wall"], default="cpu", help="processor time, or the wall's")
    parser.add_argument("--parity", action="store_true", help="compare results instead of times")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    pictures = load(arguments.images, arguments.side, arguments.count)
    names = ("unshaken", "torch", "numpy", "scipy", "imagecorruptions-imaug", "opencv-python-headless", "scikit-image")
    print(f"Corruptions of {len(pictures)} pictures of {arguments.side} px, {arguments.images or 'random and smooth'}.")
    print(
        f"{arguments.threads} thread(s), {arguments.clock} clock, {arguments.repeats} repeats, {time.strftime('%F')}."
    )
    print(f"{_processor()}, {platform.system()}, Python {platform.python_version()}.")
    print(", ".join(f"{name} {_version(name)}" for name in names) + ".\n")
    clock = time.process_time if arguments.clock == "cpu" else time.perf_counter
    print("\n".join(parity_table(pictures) if arguments.parity else speed_table(pictures, arguments.repeats, clock)))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), platform.processor())


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return "absent"


if __name__ == "__main__":
    main()
