"""What makes a pass cheap: the original network, freed memory kept, batch norms folded, bfloat16, compiled kernels.

    python benchmarks/passes.py --model demo:robust --batch 128 --repeats 30 --threads 2
    python benchmarks/passes.py --model torchvision:resnet18 --data folder:photos --batch 16 --compile --device cuda

With `--compile` the folded network is also compiled by torch, which takes a C++ compiler on the CPU; on a GPU it is so
twice, the second time with its kernels kept as a CUDA graph. A last column then says how long compiling took, and so
from how many passes on it pays.

Measured: microseconds an image of a forward pass and of a pass with the gradient by the image, median over `--repeats`
turns; the ways take turns. Freed memory is a matter of the whole process, so each half of the table has a process of
its own, started with `UNSHAKEN_KEEP_MEMORY` 0 or 1.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from _peers import first_images, machine
from torch import Tensor

import unshaken
from unshaken.core.device import keep_freed_memory
from unshaken.core.search_copy import search_copy


def forward(net: Callable[[Tensor], Tensor], images: Tensor) -> None:
    """One pass without a graph."""
    with torch.inference_mode():
        net(images)


def gradient(net: Callable[[Tensor], Tensor], images: Tensor) -> None:
    """One pass each way."""
    points = images.clone().requires_grad_(True)
    torch.autograd.grad(net(points).float().logsumexp(1).sum(), points)


def half(chosen: argparse.Namespace) -> None:
    """The rows of this process."""
    kept = keep_freed_memory()
    torch.set_num_threads(chosen.threads)
    model = unshaken.load_model(chosen.model).eval().requires_grad_(False)
    images, _ = first_images(chosen.batch, chosen.data, model)
    model, images = model.to(chosen.device), images.to(chosen.device)
    quick = search_copy(model, images[:2])

    def low(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            return quick(x) if quick is not None else model(x)

    ways = {"original": model, "folded": quick or model, "folded, bfloat16": low}
    if chosen.compile:
        ways["folded, compiled"] = torch.compile(quick or model)
        if torch.device(chosen.device).type == "cuda":
            ways["folded, compiled, CUDA graph"] = torch.compile(quick or model, mode="reduce-overhead")
    seconds: dict[tuple[str, int], list[float]] = {}
    for _ in range(chosen.repeats + 1):
        for name, net in ways.items():
            for i, work in enumerate((forward, gradient)):
                began = time.perf_counter()
                work(net, images)
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                seconds.setdefault((name, i), []).append(time.perf_counter() - began)
    for name in ways:
        cells = [f"{statistics.median(seconds[name, i][1:]) / len(images) * 1e6:.0f}" for i in (0, 1)]
        first = sum(seconds[name, i][0] for i in (0, 1))
        last = f" {first:.1f} |" if chosen.compile else ""
        print(f"| {name} | {'kept' if kept else 'given back'} | {cells[0]} | {cells[1]} |{last}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo:robust", help="a model SPEC")
    parser.add_argument("--data", default="demo", help="a data SPEC")
    parser.add_argument("--batch", type=int, default=128, help="images a pass")
    parser.add_argument("--repeats", type=int, default=30, help="timed turns")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    parser.add_argument("--device", default="cpu", help="of torch, such as cuda")
    parser.add_argument("--compile", action="store_true", help="measure compiled networks too")
    parser.add_argument("--half", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.half:
        half(chosen)
        return
    print(f"{machine()}, {time.strftime('%Y-%m-%d')}: {chosen.model}, batch of {chosen.batch}\n")
    more = (" first passes, s |", "---|") if chosen.compile else ("", "")
    print(
        f"| network | freed memory | forward, us an image | with gradient |{more[0]}\n|---|---|---|---|{more[1]}",
        flush=True,
    )
    for keep in ("0", "1"):
        env = {**os.environ, "UNSHAKEN_KEEP_MEMORY": keep}
        subprocess.run([sys.executable, *sys.argv, "--half"], env=env, check=True)


if __name__ == "__main__":
    main()
