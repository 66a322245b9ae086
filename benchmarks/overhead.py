"""The engine's own cost: an audit against a hand-written loop over the same conditions, in one run.

    python benchmarks/overhead.py --model demo:standard --data demo
    python benchmarks/overhead.py --model imagenet:efficientnet-lite0 --data parquet:photos.parquet --repeats 1

Both decode the same images with the same loader, apply the same stressors to batches of the same size, and pass them
through the same model in float32. The hand-written loop keeps nothing but a count of right answers; the audit keeps
rows, flags, pictures and a report's worth of columns. The attack is left out here, because no plain loop leaves as
early as the engine does (see attack_peers.py); its share is in the `overhead` that every run states, which is printed
too: wall seconds over the seconds inside the model's passes and the methods' own arithmetic.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

import unshaken
from unshaken.core.batch import Batch
from unshaken.core.classifier import evaluating
from unshaken.core.registry import find_method
from unshaken.data import load_data, stream
from unshaken.models import load_model

METHODS = ("gaussian_noise", "motion_blur", "fog", "contrast", "jpeg_compression")


def by_hand(model_spec: str, data_spec: str, limit: int | None, batch_size: int, severities: list[int]) -> float:
    """Seconds that a plain loop takes: decode a batch, then every condition on it."""
    began = time.perf_counter()
    model, dataset = load_model(model_spec), load_data(data_spec)
    right = dict.fromkeys([("clean", 0), *((m, s) for m in METHODS for s in severities)], 0)
    with evaluating(model), torch.inference_mode():
        indices = range(min(limit or len(dataset), len(dataset)))
        for batch in stream(dataset, indices, view=model.view, batch_size=batch_size):
            if not isinstance(batch, Batch):
                continue
            for name, severity in right:
                images = batch.images
                if severity:
                    images = find_method(name).cls().apply(batch, severity).images
                right[name, severity] += int((model(images).argmax(1) == batch.labels).sum())
    return time.perf_counter() - began


def by_audit(model: str, data: str, limit: int | None, batch_size: int, plan: object) -> tuple[float, float]:
    """Seconds that an audit takes with all that it keeps, and the overhead that it states itself."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        result = unshaken.audit(model, data, plan, limit=limit, batch_size=batch_size, out=Path(folder) / "run")
        return time.perf_counter() - began, result.summary["cost"]["overhead"]


def main() -> None:
    """Run both in turn and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo:standard")
    parser.add_argument("--data", default="demo")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--severities", type=int, nargs="+", default=[1, 3, 5])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--attack", action="store_true", help="also state the overhead of the plan `quick`")
    options = parser.parse_args()
    arguments = options.model, options.data, options.limit, options.batch_size
    plan = [{"method": m, "severities": options.severities} for m in METHODS]
    by_hand(options.model, options.data, 64, options.batch_size, options.severities)  # warm-up
    hand, ours, stated = [], [], []
    for _ in range(options.repeats):
        hand.append(by_hand(*arguments, options.severities))
        seconds, overhead = by_audit(*arguments, plan)
        ours.append(seconds)
        stated.append(overhead)
    ratios = [a / b for a, b in zip(ours, hand, strict=True)]
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.repeats} repeats, interleaved\n")
    print("| model | by hand, s | audit, s | ratio: median (min to max) | stated overhead |")
    print("|---|---|---|---|---|")
    print(
        f"| {options.model} | {statistics.median(hand):.2f} | {statistics.median(ours):.2f} "
        f"| {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}) "
        f"| {statistics.median(stated):.3f} |"
    )
    if options.attack:
        seconds, overhead = by_audit(*arguments, "quick")
        print(f"\nplan quick: {seconds:.1f} s, stated overhead {overhead:.3f}")


if __name__ == "__main__":
    main()
