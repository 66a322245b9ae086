"""`fool`: images that mean nothing and that a model is sure of, one a class, in a folder."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unshaken.api.job import choose_device, default_out
from unshaken.attack.fooling.base import FoolingImages, FoolingSearch
from unshaken.attack.fooling.results import contact_sheet, fooling_rows, picture
from unshaken.core import Oracle
from unshaken.core.classifier import evaluating
from unshaken.core.consent import of_arguments
from unshaken.core.errors import ModelError, ParameterError, RunError, did_you_mean
from unshaken.core.keywords import keywords
from unshaken.core.meter import Meter
from unshaken.core.package import public
from unshaken.core.part import Condition
from unshaken.core.registry import find_method, list_methods, parse_method
from unshaken.models import as_classifier, load_model
from unshaken.report.pages.made_images import MADE_IMAGES
from unshaken.report.render.notebook import pictures_card
from unshaken.report.summary import finite
from unshaken.run.shard import write_cost, write_flags
from unshaken.store.output import check_folder
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

MOST = 100
"""Number of classes above which they must be named."""
RECORD = "fooling.json"
"""The file that is written last: where it is, all is there."""


@dataclass(frozen=True, slots=True)
class FoolResult:
    """Fooling images of a model.

    Args:
        run: the directory: a PNG a class, `sheet.png`, `fooling.json`, the rows `fooling`, and a report.
        images: uint8 `[K, C, H, W]`, one a class, as they are kept.
        summary: what `fooling.json` holds: confidences, when each image was found, the course, the passes.
    """

    run: RunDir
    images: Tensor = field(repr=False)
    summary: dict[str, Any] = field(repr=False)

    def _repr_html_(self) -> str:
        return pictures_card(f"Fooling images, in {self.run}", self.images.cpu())


@public("fool")
@of_arguments
@keywords()
def fool(
    model: str | nn.Module,
    method: str | FoolingSearch = "cppn",
    *,
    classes: Sequence[int] | None = None,
    generations: int = 200,
    population: int = 200,
    seed: int = 0,
    out: str | Path | None = None,
    device: str = "cpu",
    download: bool = False,
) -> FoolResult:
    """Make images that mean nothing to a person and that a model is sure of, one a class.

    Args:
        model: a SPEC, a `Classifier` with a view, or a module wrapped into one.
        method: `NAME[:k=v,...]` or the search itself: `ascent` climbs the gradient, `direct` evolves pixels, `cppn`
            graphs.
        classes: their numbers, from 0; None for all, at most 100.
        generations: of the evolution, or steps of the ascent; they go before `steps` of its own.
        population: children a generation, an even number; the ascent has none.
        seed: decides all that is drawn.
        out: the folder, which must not hold fooling images yet; local or any fsspec address. None for a new one in
            `runs/`.
        device: `cpu`, `cuda` or `mps`.
        download: allow the model to be fetched from its own source.

    Raises:
        ParameterError: an option is not allowed, or the model has too many classes to take all.
        ModelError: the model cannot be loaded, takes images of any size, or gives no gradient to climb.
        RunError: the folder holds fooling images already, or cannot be written.
    """
    if seed < 0:
        raise ParameterError(f"seed={seed} must be 0 or more")
    search = method if isinstance(method, FoolingSearch) else _search(method)
    search.check(generations, population)
    if out is None:
        out = default_out(model, "fool", search.info.name)
    check_folder(out, "out", (RECORD,))
    folder = RunDir(out)
    if folder.exists(RECORD):
        raise RunError(f"{out}: already holds fooling images; choose another --out")
    if isinstance(model, str):
        network = load_model(model, download=download, device=device)
    else:
        network = as_classifier(model).to(choose_device(device))
    spec = model if isinstance(model, str) else network.name
    if network.view is None:
        raise ModelError(f"model {spec!r} accepts images of any size: choose one, as in '{spec}?size=32'")
    oracle, shape = Oracle(network), (network.view.channels, network.view.height, network.view.width)
    began = time.perf_counter()
    numbers = _all_classes(oracle, shape) if classes is None else tuple(classes)
    found = search.find(oracle, numbers, shape, generations=generations, population=population, seed=seed)
    heading = {"model": spec, "method": search.info.name, "seed": seed}
    condition = Condition(search.info.name, search.info.name)
    part = fooling_rows(condition, found, numbers, network.classes)
    folder.write_rows(table_of(part), part.table, condition.id, 0)
    if part.flags:
        write_flags(folder, condition.id, 0, list(part.flags))
    write_cost(folder, 0, condition.id, oracle.meter, Meter(), time.perf_counter() - began)
    record = _write(folder, oracle, numbers, found, heading)
    MADE_IMAGES.write(folder)
    return FoolResult(folder, found.images, record)


def _search(text: str) -> FoolingSearch:
    """The search of a text; the message of an unknown one names the others."""
    name = text.partition(":")[0].strip()
    try:
        known = issubclass(find_method(name, "attack").cls, FoolingSearch)
    except ParameterError:
        known = False
    if not known:
        names = [m.name for m in list_methods("attack") if issubclass(m.cls, FoolingSearch)]
        raise ParameterError(f"no fooling search {name!r}; {did_you_mean(name, names)}")
    search: FoolingSearch = parse_method(text, "attack")
    return search


def _all_classes(oracle: Oracle, shape: tuple[int, int, int]) -> tuple[int, ...]:
    with evaluating(oracle.model):
        k = oracle.exact(torch.full((1, *shape), 0.5, device=oracle.device)).shape[1]
    if k > MOST:
        raise ParameterError(f"the model has {k} classes: choose some with --classes, such as --classes 0,7,99")
    return tuple(range(k))


def _write(
    folder: RunDir, oracle: Oracle, classes: tuple[int, ...], search: FoolingImages, heading: dict[str, Any]
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
    found = {"schema": 1, **heading, "images": records, **search.record}
    found |= {"forwards": oracle.meter.forwards, "backwards": oracle.meter.backwards}
    folder.write_json(found, RECORD)
    return found


def _png(image: Any, *, optimize: bool = False) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=optimize)
    return buffer.getvalue()
