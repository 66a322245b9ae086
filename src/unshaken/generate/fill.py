"""Labelled sets of generated images: captions, draws until no check refuses an image, and the file."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.core.notebook import facts_card
from unshaken.core.rng import SampleRng
from unshaken.generate.generator import Generator
from unshaken.generate.rows import Throughput
from unshaken.measure import find_leakage
from unshaken.store.run_dir import RunDir

PLAIN = ("a photo of a {}",)
"""The one template without variety."""


def draw_captions(
    names: Sequence[str], labels: Sequence[int], templates: Sequence[str] = PLAIN, *, seed: int = 0, first: int = 0
) -> list[str]:
    """Captions of images to be generated, each by a template drawn uniformly; more templates, more variety.

    Args:
        names: of the classes, in label order.
        labels: the class of each image, from 0.
        templates: plain text with `{}` once, in the place of the name; CLIP's 80 for the usual variety.
        seed: of the draw; caption i follows from it, and i.
        first: number of the first image.

    Raises:
        ParameterError: there is no template, one has no `{}` or several, or a label has no name.

    >>> draw_captions(["cat", "dog"], [1, 0])
    ['a photo of a dog', 'a photo of a cat']
    """
    if not templates or any(text.count("{}") != 1 for text in templates):
        raise ParameterError(f"templates {list(templates)}: each needs {{}} once, as in 'a photo of a {{}}'")
    if labels and not 0 <= min(labels) <= max(labels) < len(names):
        raise ParameterError(f"labels run from {min(labels)} to {max(labels)}: there are names for 0..{len(names) - 1}")
    rng = SampleRng.of(seed, "captions", [str(first + i) for i in range(len(labels))])
    places = rng.integers(0, len(templates)).tolist() if labels else []
    return [templates[place].replace("{}", names[label]) for place, label in zip(places, labels, strict=True)]


CONDITIONS = ("label", "image", "both")
"""What a generator starts from: a class, a real image, or both."""
ROUNDS = 10
"""How often a place in the set is filled anew before the command gives up."""
FLATTEST = 0.5 / 255
"""Images whose pixels deviate less are of one shade, and are made again."""
Check = Callable[[Tensor, Tensor], Tensor]
"""From images and labels to whether each image is refused, bool `[N]`."""


@dataclass(frozen=True, slots=True)
class GeneratedSet:
    """A labelled set that a generator made.

    Args:
        images: float32 `[n, C, H, W]` in [0, 1].
        labels: int64 `[n]`.
        numbers: number of each among all images that were drawn.
        sources: id of the real image that each is a variation of; None where there is none.
        drawn: images drawn for the set.
        refused: reason to the number of images that were drawn again for it: `flat`, `confidence`, `leakage`.
        leaked: pairs of the number of a drawn image and the id of the held-out image that it copies.
        speed: of the generator, checks left out.
    """

    images: Tensor
    labels: Tensor
    numbers: tuple[int, ...]
    sources: tuple[str | None, ...]
    drawn: int
    refused: dict[str, int]
    leaked: tuple[tuple[int, str], ...]
    speed: Throughput

    def _repr_html_(self) -> str:
        refused = {f"drawn again: {reason}": f"{n:,}" for reason, n in self.refused.items()}
        facts = {"drawn": f"{self.drawn:,}", **refused, "copies of held-out images": f"{len(self.leaked):,}"}
        facts["speed"] = str(self.speed)
        return facts_card(f"{len(self.images):,} generated images of {len(set(self.labels.tolist()))} classes", facts)


@dataclass(frozen=True, slots=True)
class Photos:
    """Real images that a generator varies.

    Args:
        images: uint8 `[M, C, H, W]`.
        ids: of them.
        places: which of them stands for each place of the set, `[n]`.
    """

    images: Tensor
    ids: Sequence[str]
    places: Tensor

    @classmethod
    def of(cls, images: Tensor, given: Tensor, ids: Sequence[str], labels: Tensor, seed: int) -> Photos:
        """Take each class's images in turn, in an order of their ids and the seed.

        Args:
            images: uint8 `[M, C, H, W]`.
            given: their classes, int64 `[M]`.
            ids: of them.
            labels: the class of each place of the set, int64 `[n]`.
            seed: of the order.

        Raises:
            DataError: there is no image of a class.
        """
        keys = SampleRng.of(seed, "generate-source", ids).keys
        places = torch.empty(len(labels), dtype=torch.int64)
        for k in sorted({*labels.tolist()}):
            rows = torch.nonzero(given == k)[:, 0]
            if not len(rows):
                raise DataError(f"the source has no image of class {k} to vary: leave the class out")
            rows = rows[keys[rows].argsort()]
            own = torch.nonzero(labels == k)[:, 0]
            places[own] = rows[torch.arange(len(own)) % len(rows)]
        return cls(images, ids, places)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Images that must not be repeated.

    Args:
        images: uint8 `[M, C, H, W]`.
        ids: of them.
    """

    images: Tensor
    ids: Sequence[str]

    def find_copies(self, images: Tensor) -> list[str | None]:
        """The id of the held-out image that each image in [0, 1] copies, or None; see `find_leakage`."""
        found = find_leakage(self.images.flatten(1).numpy() / 255.0, images.flatten(1).cpu().numpy())
        return [self.ids[j] if copied else None for j, copied in zip(found.nearest, found.copied, strict=True)]


def is_flat(images: Tensor, labels: Tensor) -> Tensor:
    """A check: images of one shade, as safety filters give them, bool `[N]`."""
    return images.flatten(1).std(1, correction=0) < FLATTEST


def fill_set(
    generator: Generator, labels: Tensor, condition: str, photos: Photos | None, strength: float,
    checks: Mapping[str, Check], copies: HeldOut | None, options: Mapping[str, Any],
) -> GeneratedSet:  # fmt: skip
    """Draw images until each place has one that no check refuses.

    Args:
        generator: makes them.
        labels: the class of each place, int64 `[n]`.
        condition: `label`, `image` or `both`: what the generator starts from.
        photos: to vary; None to start from noise.
        strength: of variations.
        checks: reason to check; a refused image is drawn again under the next free number.
        copies: images that must not be repeated; None for none.
        options: of `Generator.sample` and `Generator.vary`.

    Raises:
        RunError: places are empty after `ROUNDS` rounds.
    """
    images = torch.empty(len(labels), *generator.image)
    numbers = torch.zeros(len(labels), dtype=torch.int64)
    refused, leaked = dict.fromkeys([*checks, *(["leakage"] if copies else [])], 0), list[tuple[int, str]]()
    left, drawn, seconds = torch.arange(len(labels)), 0, 0.0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        asked = labels[left] if condition != "image" and generator.classes else None
        if photos is None:
            made = generator.sample(len(left), first=drawn, labels=asked, **options)
        else:
            start = photos.images[photos.places[left]].float() / 255
            made = generator.vary(start, strength, first=drawn, labels=asked, **options)
        device = made.device.type
        made = made.mul(255).round().div(255).cpu()  # as the file holds them; a device has finished by then
        seconds += time.perf_counter() - began
        bad = torch.zeros(len(left), dtype=torch.bool)
        for name, check in checks.items():
            found = check(made, labels[left]).cpu() & ~bad
            refused[name] += int(found.sum())
            bad |= found
        for i, copied in enumerate(copies.find_copies(made) if copies else []):
            if copied is not None and not bad[i]:
                bad[i] = True
                refused["leakage"] += 1
                leaked.append((drawn + i, copied))
        images[left[~bad]] = made[~bad]
        numbers[left[~bad]] = drawn + torch.nonzero(~bad)[:, 0]
        left, drawn = left[bad], drawn + len(bad)
        if not len(left):
            sources = [None] * len(labels) if photos is None else [photos.ids[j] for j in photos.places.tolist()]
            steps = generator.usual_steps if options.get("steps") is None else options["steps"]
            speed = Throughput(drawn, seconds, steps, device)
            return GeneratedSet(
                images, labels, tuple(numbers.tolist()), tuple(sources), drawn, refused, tuple(sorted(leaked)), speed
            )
    counts = ", ".join(f"{name} {count}" for name, count in refused.items())
    raise RunError(
        f"{len(left)} of {len(labels)} places are empty after {ROUNDS} rounds (refused: {counts}; class "
        f"{int(labels[left].mode().values)} most often): lower the confidence, or use another generator"
    )


PROVENANCE = b"unshaken.generated"
"""Key of the file's metadata: JSON of generator, seed, guidance, condition and filters."""
ROW_GROUP = 4096


def write_labelled_set(
    path: Path | str,
    images: Tensor,
    labels: Tensor,
    columns: Mapping[str, Sequence[Any]],
    provenance: Mapping[str, Any],
) -> None:
    """Write a labelled set, whole or not at all; the same arguments give the same bytes.

    Args:
        path: the parquet file.
        images: float `[N, C, H, W]` in [0, 1], C 1 or 3; stored as PNG of 8 bits.
        labels: int64 `[N]`.
        columns: further columns by name, such as `number` and `source`; `id` is made of `number` where there is one.
        provenance: JSON values that record how the set was made; without times, so that it can be made again.

    Raises:
        RunError: the file cannot be written.
    """
    path = Path(path)
    pixels = images.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    files = []
    for image in pixels:
        buffer = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(buffer, "PNG")
        files.append(buffer.getvalue())
    names = [f"{number:07d}" for number in columns.get("number", range(len(images)))]
    table = pa.table(
        {"id": names, "image": pa.array(files, pa.binary()), "label": pa.array(labels.tolist(), pa.int64()), **columns}
    )
    table = table.replace_schema_metadata({PROVENANCE: json.dumps(dict(provenance), sort_keys=True).encode()})
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=ROW_GROUP)
    RunDir(path.parent).write(out.getvalue(), path.name)
