"""The engine's own cost: an audit against a hand-written loop over the same conditions, in one run.

    python benchmarks/overhead.py --model demo:standard --data demo
    python benchmarks/overhead.py --model imagenet:efficientnet-lite0 --data parquet:photos.parquet --repeats 1

Both decode the same images with the same loader, apply the same stressors to batches of the same size, and pass them
through the same model in float32. The hand-written loop keeps nothing but a count of right answers; the audit keeps
rows, flags, pictures and a report's worth of columns. It also tells the allocator to keep freed memory, which a loop by
hand does not; what it does to that loop is a row of its own. Each has a process of its own; they take turns. Attacks
are left out, because no plain loop leaves as early as the engine does (see attack_peers.py); their share is in the
`overhead` that every run states: wall seconds over those inside the model's passes and the methods' own arithmetic.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from _peers import machine, spread

import unshaken
from unshaken.core.batch import Batch
from unshaken.core.classifier import evaluating
from unshaken.core.device import keep_freed_memory
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


def contenders(options: argparse.Namespace) -> dict[str, Callable[[], tuple[float, float | None]]]:
    """Name to a round of it: seconds, and the overhead that an audit states."""
    model, data, limit, size = options.model, options.data, options.limit, options.batch_size
    plan = [{"method": m, "severities": options.severities} for m in METHODS]

    def kept() -> tuple[float, None]:
        keep_freed_memory()
        return by_hand(model, data, limit, size, options.severities), None

    return {
        "a loop by hand": lambda: (by_hand(model, data, limit, size, options.severities), None),
        "the same, freed memory kept": kept,
        "audit": lambda: by_audit(model, data, limit, size, plan),
        **({"audit, plan quick": lambda: by_audit(model, data, limit, size, "quick")} if options.attack else {}),
    }


def serve(name: str, options: argparse.Namespace, pipe: Connection) -> None:
    """A contender's own process: warm up once, then a round at every nudge."""
    torch.set_num_threads(options.threads)
    work = contenders(options)[name]
    contenders(argparse.Namespace(**(vars(options) | {"limit": 64})))[name]()
    pipe.send("warm")
    while pipe.recv():
        pipe.send(work())


def main() -> None:
    """Let all take turns and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo:standard")
    parser.add_argument("--data", default="demo")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--severities", type=int, nargs="+", default=[1, 3, 5])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--attack", action="store_true", help="also the plan `quick`, which no loop by hand does")
    options = parser.parse_args()
    context, names = multiprocessing.get_context("spawn"), list(contenders(options))
    pipes: dict[str, Connection] = {}
    for name in names:
        pipes[name], theirs = context.Pipe()
        context.Process(target=serve, args=(name, options, theirs), daemon=True).start()
        pipes[name].recv()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    stated: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(options.repeats):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            pipes[name].send(True)
            took, overhead = pipes[name].recv()
            seconds[name].append(took)
            stated[name] += [] if overhead is None else [overhead]
    for pipe in pipes.values():
        pipe.send(False)
    print(f"{machine()}; {options.threads} threads, {options.repeats} rounds\n{options.model}, {options.data}\n")
    print("| | seconds (least to most) | to the loop by hand | to the loop with memory kept | stated overhead |")
    print("|---|---|---|---|---|")
    for name in names:
        ratios = [spread([a / b for a, b in zip(seconds[name], seconds[other], strict=True)], 3) for other in names[:2]]
        own = f"{statistics.median(stated[name]):.3f}" if stated[name] else ""
        print(f"| {name} | {spread(seconds[name], 2)} | {ratios[0]} | {ratios[1]} | {own} |")


if __name__ == "__main__":
    main()
