"""How often the interval of mAP holds the truth, and what 1,000 paired resamples of 5,000 images cost.

    python benchmarks/map_intervals.py
    python benchmarks/map_intervals.py --images 128 --samples 20 --classes 40
    python benchmarks/map_intervals.py --peer

A population of made detections (long-tailed classes, boxes near objects, false ones beside) is drawn from again and
again; its own mAP is the truth. Printed: the share of samples whose interval holds it, and that of the percentile
bootstrap for comparison; the same for the paired difference to a second detector, whose boxes are less exact. Then the
seconds of all halves of 5,000 images. With `--peer`, instead of these, the processor seconds of the mAP of 5,000 images
beside faster-coco-eval, from boxes in memory, the two in turns, with the least and the most of five rounds.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from _peers import machine

from unshaken.measure.object_detection.average_precision import average_precision, mean_average_precision
from unshaken.measure.object_detection.map_figures import map_difference, map_figure, resampled_map
from unshaken.measure.object_detection.matching import Detections, Matches, Objects, match_images

Image = tuple[Detections, Objects]


def scene(rng: np.random.Generator, classes: int) -> Image:
    """Objects of long-tailed classes, six in ten found, and eight false boxes on average."""
    shares = 1 / np.arange(1, classes + 1)
    shares /= shares.sum()

    def boxes(n: int) -> np.ndarray:
        low = rng.uniform(0, 250, (n, 2))
        return np.concatenate([low, low + rng.uniform(15, 150, (n, 2))], 1)

    count, false = int(rng.integers(1, 12)), int(rng.poisson(8))
    there, labels, found = boxes(count), rng.choice(classes, count, p=shares), rng.random(count) < 0.6
    near = there[found] + rng.normal(0, 4, (found.sum(), 4))
    said = np.where(rng.random(found.sum()) < 0.85, labels[found], rng.choice(classes, found.sum(), p=shares))
    scores = np.concatenate([rng.beta(4, 2, found.sum()), rng.beta(2, 5, false)])
    detections = Detections(
        np.concatenate([near, boxes(false)]), np.concatenate([said, rng.choice(classes, false, p=shares)]), scores
    )
    return detections, Objects(there, labels, np.zeros(count, bool))


def less_exact(image: Image, rng: np.random.Generator) -> Image:
    """The same image under a detector whose left upper corners are off."""
    found, objects = image
    moved = found.boxes + rng.normal(0, 2, found.boxes.shape) * [1, 1, 0, 0]
    return Detections(moved, found.classes, found.scores), objects


def matched(images: list[Image], classes: int) -> Matches:
    """All images, matched."""
    detections, objects = zip(*images, strict=True)
    return match_images(detections, objects, classes)


def truth(images: list[Image], classes: int) -> float:
    """The population's own mAP."""
    return float(mean_average_precision(average_precision(matched(images, classes))))


def percentiles(one: Matches, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """The percentile bootstrap's interval."""
    drawn = rng.integers(one.images, size=(resamples, one.images))
    weights = np.stack([np.bincount(row, minlength=one.images) for row in drawn]).astype(np.float32)
    return np.quantile(mean_average_precision(average_precision(one, weights)), [0.025, 0.975])


def coverage(chosen: argparse.Namespace, images: int) -> str:
    """One line of the table."""
    rng = np.random.default_rng(chosen.seed)
    population = [scene(rng, chosen.classes) for _ in range(chosen.population)]
    other = [less_exact(image, rng) for image in population]
    wanted, second = truth(population, chosen.classes), truth(other, chosen.classes)
    held = np.zeros(3)
    for _ in range(chosen.samples):
        rows = rng.integers(chosen.population, size=images)
        first, changed = ([part[i] for i in rows] for part in (population, other))
        one = matched(first, chosen.classes)
        a, b = (resampled_map(m, resamples=chosen.resamples) for m in (one, matched(changed, chosen.classes)))
        figure, difference, (low, high) = map_figure(a), map_difference(a, b), percentiles(one, chosen.resamples, rng)
        held += [
            figure.low <= wanted <= figure.high,
            low <= wanted <= high,
            difference.low <= second - wanted <= difference.high,
        ]
    shares = " | ".join(f"{100 * share / chosen.samples:.1f} %" for share in held)
    return f"| {images} | {chosen.classes} | {chosen.samples} | {wanted:.3f} | {shares} |"


def beside_peer(images: list[Image], classes: int, rounds: int = 5) -> str:
    """Table of processor seconds for the mAP of the same boxes, here and by faster-coco-eval."""
    from faster_coco_eval import COCO, COCOeval_faster

    def lines(which: int) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = []
        for number, image in enumerate(images):
            part = image[which]
            low, size = part.boxes[:, :2], part.boxes[:, 2:] - part.boxes[:, :2]
            for i, (box, label) in enumerate(zip(np.hstack([low, size]).tolist(), part.classes.tolist(), strict=True)):
                row = {"id": len(rows) + 1, "image_id": number, "category_id": label, "bbox": box}
                extra = {"score": float(part.scores[i])} if isinstance(part, Detections) else {"iscrowd": 0}
                rows.append({**row, "area": box[2] * box[3], **extra})
        return rows

    found, objects = lines(0), lines(1)
    named = [{"id": c, "name": str(c)} for c in range(classes)]
    known = {"images": [{"id": i} for i in range(len(images))], "annotations": objects, "categories": named}

    def theirs() -> float:
        there = COCO(known)
        peer = COCOeval_faster(there, there.loadRes(found), "bbox", print_function=lambda *_: None)
        peer.run()
        return float(peer.stats[0])

    seconds = {"unshaken": [], "faster-coco-eval": []}  # type: dict[str, list[float]]
    ways = {"unshaken": lambda: truth(images, classes), "faster-coco-eval": theirs}
    values = {name: way() for name, way in ways.items()}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.process_time()
            way()
            seconds[name].append(time.process_time() - began)
    rows = [
        f"| {n} | {sorted(s)[len(s) // 2]:.2f} ({min(s):.2f} to {max(s):.2f}) | {values[n]:.6f} |"
        for n, s in seconds.items()
    ]
    return "\n".join([f"\n| mAP of {len(images):,} images | processor seconds | mAP |", "|---|---|---|", *rows])


def main() -> None:
    """Print the table, then the cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[128, 500])
    parser.add_argument("--classes", type=int, default=40)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--population", type=int, default=8000)
    parser.add_argument("--resamples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timed", type=int, default=5000, help="images of the last line; 0 for none")
    parser.add_argument("--peer", action="store_true", help="time mAP beside faster-coco-eval, nothing else")
    chosen = parser.parse_args()
    print(machine())
    if chosen.peer:
        rng = np.random.default_rng(chosen.seed)
        print(beside_peer([scene(rng, 80) for _ in range(chosen.timed)], 80))
        return
    print("\n| images | classes | samples | true mAP | interval | percentile bootstrap | paired difference |")
    print("|---|---|---|---|---|---|---|")
    for images in chosen.images:
        print(coverage(chosen, images), flush=True)
    if chosen.timed:
        rng = np.random.default_rng(chosen.seed)
        images = [scene(rng, 80) for _ in range(chosen.timed)]
        one, other = matched(images, 80), matched([less_exact(image, rng) for image in images], 80)
        began = time.perf_counter()
        map_difference(*(resampled_map(m, resamples=1000) for m in (one, other)))
        print(
            f"\n1,000 paired halves of {chosen.timed:,} images: {time.perf_counter() - began:.1f} s for both detectors"
        )


if __name__ == "__main__":
    main()
