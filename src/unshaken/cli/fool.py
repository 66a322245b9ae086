"""`unshaken fool`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from unshaken.cli.options import Download, Json, Model
from unshaken.cli.progress import progress
from unshaken.cli.session import Session
from unshaken.cli.show import console, print_json, print_line, table
from unshaken.cli.values import COUNT, SEED
from unshaken.cli.verb import verb

if TYPE_CHECKING:
    from torch import Tensor

    from unshaken.core import Classifier, Oracle
    from unshaken.run import RunDir

Found = tuple["Tensor", "Tensor", "Tensor", dict[str, Any]]
"""Images, log-odds, generations (or steps), and what else is told."""

MOST = 100
"""Classes that `all` may mean; more are to be named."""


@verb
def fool(
    session: Session,
    model: Model,
    encoding: Annotated[
        str,
        typer.Option(metavar="ascent|direct|cppn", help="Gradient ascent, or evolution of pixels or of graphs."),
    ] = "cppn",
    classes: Annotated[str, typer.Option(metavar="all|C,C,...", help="Classes by number, from 0.")] = "all",
    generations: Annotated[int, typer.Option(metavar="N", **COUNT, help="Generations, or steps of the ascent.")] = 200,
    population: Annotated[
        int, typer.Option(metavar="N", min=2, max=100_000, help="Children a generation; even.")
    ] = 200,
    seed: Annotated[int, typer.Option(metavar="S", **SEED, help="Decides all that is drawn.")] = 0,
    out: Annotated[str, typer.Option(metavar="DIR", help="Where fooling.json and the images go.")] = "runs/fool",
    device: Annotated[str, typer.Option(metavar="cpu|cuda|mps", help="Where to compute.")] = "cpu",
    download: Download = False,
    json: Json = False,
) -> int:
    """Make images that mean nothing and that the model is sure of, one a class.

    Exit codes: 0 done, 2 wrong use or bad input.
    """
    from unshaken.core import Oracle
    from unshaken.core.device import find_device
    from unshaken.models import load_model

    chosen = _settings(encoding, generations, population, seed)
    net = load_model(model, download=download, device=str(find_device(device)))
    oracle = Oracle(net)
    shape = _shape(net, model)
    numbers = _classes(classes, oracle, shape)
    run = _empty(out)
    with progress(session):
        found = _search(encoding, oracle, numbers, shape, chosen, seed)
    told = _write(run, oracle, numbers, found, {"model": model, "encoding": encoding, "seed": seed})
    if json:
        print_json(told)
    elif not session.quiet:
        rows = [[r["class"], r["name"], f"{r['confidence']:.4f}", r["found"], r["file"]] for r in told["images"]]
        console().print(table(["class", "name", "confidence", "found", "file"], rows, right=[0, 2, 3]))
    if not json:
        print_line(f"sheet: {out}/sheet.png")
    return 0


def _settings(encoding: str, generations: int, population: int, seed: int) -> Any:
    """The parameters of the search, checked before a model is loaded."""
    from unshaken.attack.fooling import Ascent, MapElites
    from unshaken.core.errors import ParameterError, did_you_mean

    if encoding not in (known := ("ascent", "direct", "cppn")):
        raise ParameterError(f"no encoding {encoding!r}; {did_you_mean(encoding, known)}")
    if seed < 0:
        raise ParameterError(f"seed={seed} must be 0 or more")
    if encoding == "ascent":
        return Ascent(steps=generations)
    return MapElites(generations=generations, population=population)


def _empty(out: str) -> RunDir:
    """The directory to write to, which must not hold fooling images yet."""
    from unshaken.core.errors import RunError
    from unshaken.run import RunDir

    run = RunDir(out)
    if run.exists("fooling.json"):
        raise RunError(f"{out}: holds fooling images already; choose another --out")
    return run


def _shape(net: Classifier, spec: str) -> tuple[int, int, int]:
    from unshaken.core.errors import ModelError

    if net.view is None:
        raise ModelError(f"model {spec!r} takes images of any size: say which, as in '{spec}?size=32'")
    return net.view.channels, net.view.height, net.view.width


def _classes(text: str, oracle: Oracle, shape: tuple[int, int, int]) -> tuple[int, ...]:
    import torch

    from unshaken.core.classifier import evaluating
    from unshaken.core.errors import ParameterError
    from unshaken.core.numbers import MAX_CLASSES, parse_whole

    if text != "all":
        try:
            return tuple(parse_whole(part, least=0, most=MAX_CLASSES) for part in text.split(","))
        except ParameterError:
            raise ParameterError(f"--classes {text!r}: write 'all', or numbers with commas between") from None
    with evaluating(oracle.model):
        k = oracle.exact(torch.full((1, *shape), 0.5, device=oracle.device)).shape[1]
    if k > MOST:
        raise ParameterError(f"the model has {k} classes: name some with --classes, as in --classes 0,7,99")
    return tuple(range(k))


def _search(
    encoding: str, oracle: Oracle, classes: tuple[int, ...], shape: tuple[int, int, int], settings: Any, seed: int
) -> Found:
    from dataclasses import asdict

    from unshaken.attack.fooling import Cppn, Direct, ascend, map_elites

    if encoding == "ascent":
        climbed = ascend(oracle, classes, shape, settings=settings, seed=seed)
        return climbed.images, climbed.odds, climbed.best_step, {"settings": settings.model_dump()}
    kind: Any = Direct() if encoding == "direct" else Cppn()
    evolved = map_elites(oracle, kind, classes, shape, settings=settings, seed=seed)
    archive = evolved.archive
    told = {
        "settings": {**settings.model_dump(), **kind.model_dump()},
        "history": [asdict(g) for g in evolved.history],
    }
    return archive.images, archive.odds, archive.generation, told


def _write(
    run: RunDir, oracle: Oracle, classes: tuple[int, ...], found: Found, heading: dict[str, Any]
) -> dict[str, Any]:
    """The images, the sheet, then `fooling.json`, which says that all is there."""
    import io

    from unshaken.attack.fooling.sheet import contact_sheet, picture
    from unshaken.report.summary import finite

    (images, odds, when, further), names = found, oracle.model.classes
    records, captions = [], []
    for i, c in enumerate(classes):
        name = names[c] if c < len(names) else str(c)
        confidence, file = float(odds[i].sigmoid()), f"class-{c:04d}.png"
        buffer = io.BytesIO()
        picture(images[i]).save(buffer, "PNG")
        run.write(buffer.getvalue(), file)
        records.append({"class": c, "name": name, "confidence": confidence, "log_odds": finite(float(odds[i]))})
        records[-1] |= {"found": int(when[i]), "file": file}
        captions.append(f"{c} {name}" if name != str(c) else f"class {c}")
        captions[-1] += f"\n{confidence:.4f}"
    buffer = io.BytesIO()
    contact_sheet(images, captions).save(buffer, "PNG", optimize=True)
    run.write(buffer.getvalue(), "sheet.png")
    told = {"schema": 1, **heading, "images": records, **further}
    told |= {"forwards": oracle.meter.forwards, "backwards": oracle.meter.backwards}
    run.write_json(told, "fooling.json")
    return told
