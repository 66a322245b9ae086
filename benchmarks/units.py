"""Units of all layers of a network over photos in one streamed pass: seconds, memory and passes as the data grows.

    UNSHAKEN_DATA=... python benchmarks/units.py --sizes 100 1000 --layers '*'

For each size, in a process of its own: thresholds (a quantile of every unit of every layer), the best images and the
units' maps on them in one pass. Printed: units and layers, seconds, seconds of the same passes through the network
alone, forward passes, the largest resident memory above the process that has loaded network and libraries, the size
of the maps that are kept, and the bound on the error of the thresholds. Without `--data` the photos are noise of
224 px. The first batch of every process warms up.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from datetime import date

import torch

from unshaken.core.classifier import Classifier
from unshaken.data import Dataset, load_data
from unshaken.data.arrays import InMemory
from unshaken.explain import Subject
from unshaken.explain.units.exemplars import probe
from unshaken.explain.units.layers import unit_layers
from unshaken.models import load_model


def photos(spec: str, size: int, side: int) -> Dataset:
    """The data of a SPEC, or noise."""
    if spec:
        return load_data(spec)
    draw = torch.Generator().manual_seed(0)
    return InMemory(torch.randint(0, 256, (size, 3, side, side), generator=draw, dtype=torch.uint8))


def passes_alone(subject: Subject) -> float:
    """Seconds of the same forward passes with nothing else: no hook, no unit."""
    seconds = 0.0
    with torch.no_grad():
        for batch in subject.batches():
            began = time.perf_counter()
            subject.model(batch.images)
            seconds += time.perf_counter() - began
    return seconds


def measure(arguments: argparse.Namespace, size: int) -> dict[str, float | int]:
    """One size in this process."""
    torch.set_num_threads(arguments.threads)
    model: Classifier = load_model(arguments.model).eval()
    side = min(model.input_size or (224, 224))
    data = photos(arguments.data, size, side)
    subject = Subject({"net": model}, data, range(min(size, len(data))), batch=arguments.batch)
    first = next(iter(subject.batches()))
    layers = unit_layers(model, first.images, arguments.layers)
    with torch.no_grad():
        model(first.images)
    alone = passes_alone(subject)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    found, forwards = probe(
        subject, list(layers), k=arguments.k, mask_size=arguments.mask, resolution=arguments.resolution
    )
    seconds = time.perf_counter() - began
    return {
        "images": len(subject.indices), "layers": len(layers), "units": sum(units for units, *_ in layers.values()),
        "seconds": seconds, "alone": alone, "forwards": forwards,
        "mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        "maps_mib": sum(one.maps.numel() for one in found.values()) * 4 / 2**20,
        "error": max(one.error for one in found.values()),
    }  # fmt: skip


def main() -> None:
    """Every size in a process of its own, as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="imagenet:efficientnet-lite0", help="SPEC of the network")
    parser.add_argument("--data", default="", help="SPEC of the photos; noise without")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--layers", nargs="+", default=["*"], help="names or patterns")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--k", type=int, default=15, help="exemplars of a unit")
    parser.add_argument("--mask", type=int, default=56, help="side of the masks in pixels")
    parser.add_argument("--resolution", type=int, default=32, help="buckets of a factor of two")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(measure(arguments, arguments.one)))
        return
    machine, versions = platform.processor() or platform.machine(), f"torch {torch.__version__}, {date.today()}"
    print(f"{machine}, {arguments.threads} threads, Python {platform.python_version()}, {versions}:")
    print(f"{arguments.model}, {arguments.data or 'noise'}\n")
    heads = ("images", "layers", "units", "seconds", "network alone", "forwards", "memory MiB", "maps MiB", "error")
    print(f"| {' | '.join(heads)} |\n|{'---:|' * len(heads)}")
    for size in arguments.sizes:
        command = [sys.executable, __file__, *sys.argv[1:], "--one", str(size)]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        print(
            f"| {row['images']} | {row['layers']} | {row['units']} | {row['seconds']:.1f} | {row['alone']:.1f} | "
            f"{row['forwards']} | {row['mib']:.0f} | {row['maps_mib']:.0f} | {row['error']:.4f} |", flush=True
        )  # fmt: skip


if __name__ == "__main__":
    main()
