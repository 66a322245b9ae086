"""Commands that write images: `unshaken corrupt|fool`."""

from __future__ import annotations

from typing import Annotated, Literal

from unshaken.cli.names import check_method
from unshaken.cli.options import Data, Download, Json, Model
from unshaken.cli.session import Session, progress
from unshaken.cli.show import console, print_json, print_line, table
from unshaken.cli.verb import verb
from unshaken.core.errors import ParameterError
from unshaken.core.options import COUNT, LIMIT, SEED, Option, OutputFolder


@verb(name="corrupt", python="stress.write_corrupted")
def corrupt(
    session: Session,
    data: Data,
    out: Annotated[str, OutputFolder("Folder for the files, new or empty.", "DIR")],
    layout: Annotated[
        Literal["cifar-c", "imagenet-c"],
        Option("Arrays of small images, or JPEG files of photos.", "cifar-c|imagenet-c"),
    ] = "cifar-c",
    method: Annotated[
        list[str] | None,
        Option(
            "A corruption; may be repeated. Default: the 15 of ImageNet-C's test set.",
            "NAME[:k=v,...]",
            read=check_method("stress"),
        ),
    ] = None,
    folders: Annotated[
        str | None,
        Option("For imagenet-c: names of the class folders in label order, such as WordNet ids, one a line.", "FILE"),
    ] = None,
    limit: Annotated[int | None, Option("Images at most: seeded, stratified.", "N", LIMIT)] = None,
    seed: Annotated[int, Option("Random seed of corruptions and of --limit.", "S", SEED)] = 0,
    download: Download = False,
) -> int:
    """Write images under every corruption at five severities, as the files of CIFAR-C or ImageNet-C.

    'cifar-c:DIR?clean=SPEC' and 'imagenet-c:DIR?clean=SPEC' read them as data.

    Exit codes: 0 success, 2 wrong usage or bad input.
    """
    from unshaken.api.corrupt import write_corrupted
    from unshaken.run.plan import THE_15

    if layout not in ("cifar-c", "imagenet-c"):
        raise ParameterError(f"--layout {layout!r} is not one of cifar-c, imagenet-c")
    with progress(session):
        made = write_corrupted(
            data, out, layout=layout, methods=method or THE_15, limit=limit, seed=seed, folders=folders,
            download=download,
        )  # fmt: skip
    print_line(f"files: {out} ({made.samples} images, {len(made.corruptions)} corruptions at 5 severities)")
    print_line(f"read them as {made.spec}?clean={data}")
    return 0


@verb(name="fool", python="fool")
def fool(
    session: Session,
    model: Model,
    method: Annotated[
        str, Option("ascent, direct or cppn: gradient ascent, or evolution of pixels or of graphs.", "NAME[:k=v,...]")
    ] = "cppn",
    classes: Annotated[str, Option("Class numbers, from 0.", "all|C,C,...")] = "all",
    generations: Annotated[int, Option("Number of generations, or of gradient steps.", "N", COUNT)] = 200,
    population: Annotated[int, Option("Number of candidates per generation (even).", "N", (2, 100_000))] = 200,
    seed: Annotated[int, Option("Random seed.", "S", SEED)] = 0,
    out: Annotated[
        str | None,
        OutputFolder(
            "Folder for fooling.json and the images. Default: a new one in runs/.", "DIR", records=("fooling.json",)
        ),
    ] = None,
    device: Annotated[str, Option("Device to run on.", "cpu|cuda|mps")] = "cpu",
    download: Download = False,
    json: Json = False,
) -> int:
    """Generate one meaningless image per class that the model classifies with high confidence.

    Exit codes: 0 success, 2 wrong usage or bad input.
    """
    from unshaken.api.fool import fool as make

    with progress(session):
        fooled = make(
            model, method, classes=_classes(classes), generations=generations, population=population, seed=seed,
            out=out, device=device, download=download,
        )  # fmt: skip
    if json:
        print_json(fooled.summary)
        return 0
    if not session.quiet:
        rows = [
            [r["class"], r["name"], f"{r['confidence']:.4f}", r["found"], r["file"]] for r in fooled.summary["images"]
        ]
        console().print(table(["class", "name", "confidence", "found", "file"], rows, right=[0, 2, 3]))
    print_line(f"sheet: {fooled.run}/sheet.png")
    return 0


def _classes(text: str) -> tuple[int, ...] | None:
    from unshaken.core.numbers import MAX_CLASSES, parse_whole

    if text == "all":
        return None
    try:
        return tuple(parse_whole(part, least=0, most=MAX_CLASSES) for part in text.split(","))
    except ParameterError:
        raise ParameterError(f"--classes {text!r}: write 'all', or numbers separated by commas") from None
