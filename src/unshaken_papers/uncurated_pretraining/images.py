"""Images of the experiment: sources of the pool, what probes are asked, and renderings that stand in for groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.errors import DataError
from unshaken.core.registry import find_method
from unshaken.measure.robustness.corruption import BENCHMARK
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.tasks.features.retrieval import EDITS, make_copies
from unshaken_papers.uncurated_pretraining import GROUPS, SEVERITY, UncuratedPretrainingPaper


@dataclass(frozen=True, slots=True)
class Probed:
    """A set on which a probe is fitted and asked.

    Args:
        training: labelled images to fit on.
        tests: name to labelled images.
    """

    training: Split
    tests: dict[str, Split]


@dataclass(frozen=True, slots=True)
class Images:
    """All images, the same for every seed but for the draw of the pool.

    Args:
        curated: of the first half of the classes, with labels.
        sources: of the pool, images of any size.
        probed: name to set: `domains`, `style`, `others`, `seen`.
        photos: originals of copies, and distractors behind them.
        copies: edit to copies of the first photos.
    """

    curated: Split
    sources: tuple[Tensor, ...]
    probed: dict[str, Probed]
    photos: Split
    copies: dict[str, Tensor]


def read_images(paper: UncuratedPretrainingPaper, context: Context) -> Images:
    """Read all data, and make what is made of it.

    Raises:
        DataError: data is absent, or there are fewer than four classes or two domains.
    """
    training, testing = (context.datasets.read(split) for split in ("train", "test"))
    half, side, names = training.classes // 2, training.images.shape[-1], paper.domains.split("|")
    if half < 2 or len(names) < 2:
        raise DataError(f"{training.classes} classes and {len(names)} domains are too few: four and two are needed")
    domains = [context.datasets.read(None, f"{paper.transfer}?split={d}&size={side}&mode=RGB") for d in names]
    sources = [context.datasets.read(None, spec) for spec in paper.sources.split("|")]
    pooled, kept = sources[0].cut(len(sources[0]) - 2 * paper.test, context.seed)
    curated, held = replace(training[training.labels < half], classes=half), testing[testing.labels >= half]
    fitted, shifted = joined(domains[: -(-len(names) // 2)]), domains[-(-len(names) // 2) :]
    styles = [replace(d, labels=torch.full((len(d),), i), classes=len(names)) for i, d in enumerate(domains)]
    asked, photos = held.stratified(paper.test, context.seed), joined(domains)
    photos = photos.cut(5 * paper.copied, context.seed)[0]
    probed = {
        "domains": halves(fitted, context.seed, dict(zip(names[-len(shifted) :], shifted, strict=True))),
        "style": halves(joined(styles), context.seed),
        "seen": halves(replace(kept, images=in_size(kept.images, side)), context.seed),
        "others": Probed(
            training[training.labels >= half].stratified(paper.probe, context.seed),
            {"clean": asked, **{g: replace(asked, images=rendered(asked.images, g)) for g in GROUPS[1:]}}
            | {name: corrupted(asked, name, context.seed) for name in BENCHMARK},
        ),
    }
    copies = {edit: make_copies(photos.images[: paper.copied], edit) for edit in EDITS}
    others = (pooled.images, *(s.images for s in sources[1:]))
    return Images(curated, (curated.images, *others), probed, photos, copies)


def draw_pool(images: Images, count: int, seed: int) -> Split:
    """Equal parts of all sources in the size of the row's data, without labels: all are 0.

    Args:
        images: of the experiment.
        count: images of the pool, one for each source at least; a source that is too small gives its images again.
        seed: of the draw.
    """
    rng, side, parts = np.random.default_rng([seed, 1]), images.curated.images.shape[-1], []
    for source in images.sources:
        wanted = max(1, count // len(images.sources))
        rows = np.concatenate([rng.permutation(len(source)) for _ in range(-(-wanted // len(source)))])[:wanted]
        parts.append(cut_out(source[torch.from_numpy(rows)], side, rng))
    pool = torch.cat(parts)
    return Split.of(pool, torch.zeros(len(pool), dtype=torch.int64), classes=1)


def cut_out(images: Tensor, side: int, rng: np.random.Generator) -> Tensor:
    """Squares at random places where images are larger than a side; else the images enlarged to it."""
    height, width = images.shape[2:]
    if min(height, width) <= side:
        return in_size(images, side)
    found = []
    for image, (top, left) in zip(images, rng.random((len(images), 2)).tolist(), strict=True):
        y, x = int(top * (height - side + 1)), int(left * (width - side + 1))
        found.append(image[:, y : y + side, x : x + side])
    return as_colour(torch.stack(found))


def in_size(images: Tensor, side: int) -> Tensor:
    """Images of a side, in colour, uint8."""
    if images.shape[-1] != side:
        scaled = F.interpolate(images.float(), (side, side), mode="bilinear", align_corners=False)
        images = scaled.round().clamp(0, 255).byte()
    return as_colour(images)


def as_colour(images: Tensor) -> Tensor:
    """Grey images with their channel three times."""
    return images.expand(-1, 3, -1, -1).contiguous() if images.shape[1] == 1 else images


def halves(data: Split, seed: int, more: dict[str, Split] | None = None) -> Probed:
    """Half to fit on, half to ask, and further tests."""
    training, clean = data.cut(len(data) // 2, seed)
    return Probed(training, {"clean": clean, **(more or {})})


def joined(parts: Sequence[Split]) -> Split:
    """Several splits one after another."""
    ids = tuple(name for part in parts for name in part.ids)
    images, labels = (torch.cat([getattr(part, k) for part in parts]) for k in ("images", "labels"))
    return replace(parts[0], images=images, labels=labels, ids=ids)


def corrupted(data: Split, name: str, seed: int) -> Split:
    """The images under a corruption."""
    changed = find_method(name).cls().apply(data.batch(), SEVERITY, seed).images
    return replace(data, images=changed.mul(255).round().clamp(0, 255).byte())


def rendered(images: Tensor, group: str) -> Tensor:
    """The images as a group's camera might show them: half as bright, blueish, or of half the resolution; uint8."""
    pixels = images.float()
    if group == "dark":
        pixels = 0.5 * pixels
    elif group == "blue":
        pixels = pixels * torch.tensor([0.6, 0.9, 1.3]).view(1, 3, 1, 1)
    elif group == "coarse":
        small = F.interpolate(pixels, scale_factor=0.5, mode="area")
        pixels = F.interpolate(small, images.shape[2:], mode="bilinear", align_corners=False)
    return pixels.round().clamp(0, 255).byte()
