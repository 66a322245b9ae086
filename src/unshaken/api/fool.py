"""`fool`: images that mean nothing and that a model is sure of, one a class, in a folder."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unshaken.api.job import chosen_device
from unshaken.attack.fooling import Ascent, Cppn, Direct, MapElites, ascend, map_elites
from unshaken.attack.fooling.sheet import contact_sheet, picture
from unshaken.core import Classifier, Oracle
from unshaken.core.classifier import evaluating
from unshaken.core.errors import ModelError, ParameterError, RunError, did_you_mean
from unshaken.models import as_classifier, load_model
from unshaken.report.summary import finite
from unshaken.run import RunDir

ENCODINGS = ("ascent", "direct", "cppn")
"""Gradient ascent, or evolution of pixels or of graphs."""
MOST = 100
"""Number of classes above which they must be named."""
RECORD = "fooling.json"
"""The file that is written last: where it is, all is there."""

Encoding = Literal["ascent", "direct", "cppn"]


@dataclass(frozen=True, slots=True)
class Fooled:
    """Fooling images of a model.

    Args:
        folder: a PNG a class, `sheet.png` and `fooling.json`.
        images: uint8 `[K, C, H, W]`, one a class, as they are kept.
        record: what `fooling.json` holds: confidences, when each image was found, the course, the passes.
    """

    folder: RunDir
    images: Tensor
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Search:
    """What a search found: images, log-odds, the generation or step of each, and what else is recorded."""

    images: Tensor
    odds: Tensor
    found: Tensor
    further: dict[str, Any]


def fool(
    model: str | nn.Module,
    *,
    encoding: Encoding = "cppn",
    classes: Sequence[int] | None = None,
    generations: int = 200,
    population: int = 200,
    seed: int = 0,
    out: str | Path = "runs/fool",
    device: str = "cpu",
    download: bool = False,
) -> Fooled:
    """Make images that mean nothing to a person and that a model is sure of, one a class.

    Args:
        model: a SPEC, a `Classifier` with a view, or a module wrapped into one.
        encoding: `ascent` for gradient ascent, `direct` for evolution of pixels, `cppn` for evolution of graphs.
        classes: their numbers, from 0; None for all, at most 100.
        generations: of the evolution, or steps of the ascent.
        population: children a generation, an even number; the ascent has none.
        seed: decides all that is drawn.
        out: the folder, which must not hold fooling images yet; local or any fsspec address.
        device: `cpu`, `cuda` or `mps`.
        download: allow the model to be fetched from its own source.

    Raises:
        ParameterError: an option is not allowed, or the model has too many classes to take all.
        ModelError: the model cannot be loaded, takes images of any size, or gives no gradient to climb.
        RunError: the folder holds fooling images already, or cannot be written.
    """
    settings = _settings(encoding, generations, population, seed)
    folder = RunDir(out)
    if folder.exists(RECORD):
        raise RunError(f"{out}: holds fooling images already; choose another --out")
    if isinstance(model, str):
        network = load_model(model, download=download, device=device)
    else:
        network = as_classifier(model).to(chosen_device(device))
    spec = model if isinstance(model, str) else network.name
    oracle, shape = Oracle(network), _shape(network, spec)
    numbers = _all_classes(oracle, shape) if classes is None else tuple(classes)
    search = _search(oracle, numbers, shape, settings, encoding, seed)
    record = _write(folder, oracle, numbers, search, {"model": spec, "encoding": encoding, "seed": seed})
    return Fooled(folder, search.images, record)


def _settings(encoding: str, generations: int, population: int, seed: int) -> Ascent | MapElites:
    """The parameters of the search, checked before a model is loaded."""
    if encoding not in ENCODINGS:
        raise ParameterError(f"no encoding {encoding!r}; {did_you_mean(encoding, ENCODINGS)}")
    if seed < 0:
        raise ParameterError(f"seed={seed} must be 0 or more")
    if encoding == "ascent":
        return Ascent(steps=generations)
    return MapElites(generations=generations, population=population)


def _shape(model: Classifier, spec: str) -> tuple[int, int, int]:
    if model.view is None:
        raise ModelError(f"model {spec!r} takes images of any size: say which, as in '{spec}?size=32'")
    return model.view.channels, model.view.height, model.view.width


def _all_classes(oracle: Oracle, shape: tuple[int, int, int]) -> tuple[int, ...]:
    with evaluating(oracle.model):
        k = oracle.exact(torch.full((1, *shape), 0.5, device=oracle.device)).shape[1]
    if k > MOST:
        raise ParameterError(f"the model has {k} classes: name some with --classes, as in --classes 0,7,99")
    return tuple(range(k))


def _search(
    oracle: Oracle,
    classes: tuple[int, ...],
    shape: tuple[int, int, int],
    settings: Ascent | MapElites,
    encoding: str,
    seed: int,
) -> _Search:
    if isinstance(settings, Ascent):
        climbed = ascend(oracle, classes, shape, settings=settings, seed=seed)
        return _Search(climbed.images, climbed.odds, climbed.best_step, {"settings": settings.model_dump()})
    kind: Any = Direct() if encoding == "direct" else Cppn()
    evolved = map_elites(oracle, kind, classes, shape, settings=settings, seed=seed)
    further = {
        "settings": {**settings.model_dump(), **kind.model_dump()},
        "history": [asdict(g) for g in evolved.history],
    }
    return _Search(evolved.archive.images, evolved.archive.odds, evolved.archive.generation, further)


def _write(
    folder: RunDir, oracle: Oracle, classes: tuple[int, ...], search: _Search, heading: dict[str, Any]
) -> dict[str, Any]:
    """The images, the sheet, then the record, which says that all is there."""
    names, records, captions = oracle.model.classes, [], []
    for i, c in enumerate(classes):
        name = names[c] if c < len(names) else str(c)
        confidence, file = float(search.odds[i].sigmoid()), f"class-{c:04d}.png"
        folder.write(_png(picture(search.images[i])), file)
        log_odds = finite(float(search.odds[i]))
        record = {"class": c, "name": name, "confidence": confidence, "log_odds": log_odds}
        records.append({**record, "found": int(search.found[i]), "file": file})
        captions.append((f"{c} {name}" if name != str(c) else f"class {c}") + f"\n{confidence:.4f}")
    folder.write(_png(contact_sheet(search.images, captions), optimize=True), "sheet.png")
    found = {"schema": 1, **heading, "images": records, **search.further}
    found |= {"forwards": oracle.meter.forwards, "backwards": oracle.meter.backwards}
    folder.write_json(found, RECORD)
    return found


def _png(image: Any, *, optimize: bool = False) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=optimize)
    return buffer.getvalue()
