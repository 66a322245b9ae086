"""`unshaken generate fit|sample|dataset|measure|scaling|texture|directions`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from unshaken.cli.names import check_method
from unshaken.cli.options import START_MODEL, AllowCode, Data, Download, Json, Model, Resume, Seed
from unshaken.cli.session import Session, progress
from unshaken.cli.show import print_json, print_line, print_page
from unshaken.cli.verb import group, verb
from unshaken.core.errors import ParameterError
from unshaken.core.numbers import parse_whole
from unshaken.core.options import (
    BATCH,
    BLOCK_SIDE,
    CANDIDATES,
    COUNT,
    LIMIT,
    SCALING_RECORDS,
    TEXTURE_RECORDS,
    TEXTURE_SIDE,
    Option,
    OutputFile,
    OutputFolder,
)

if TYPE_CHECKING:
    from unshaken.api.generate_scaling import ScalingResult
    from unshaken.api.generate_texture import TextureResult
    from unshaken.report.pages.page_kind import PageKind

app = group("generate", help="Train a small generative model, and make images by one.", no_args_is_help=True)

Device = Annotated[str, Option("Device to compute on.", "auto|cpu|cuda|mps")]
GeneratorFile = Annotated[str, Option("What generate fit wrote.", "FILE")]
Levels = Annotated[int | None, Option("Levels of noise. Default: the method's.", "N")]


@app.command("fit")
@verb(first="data method steps conditional limit out", python="generate.fit")
def fit_(
    session: Session,
    data: Data,
    out: Annotated[str, OutputFile("The model's file, safetensors.", "FILE")],
    method: Annotated[
        str, Option("A method of the room generate.", "NAME[:k=v,...]", read=check_method("generate"))
    ] = "edm",
    conditional: Annotated[bool, Option("Learn the classes too, to be asked for one.")] = False,
    steps: Annotated[int, Option("Optimizer steps.", "N")] = 2000,
    batch_size: Annotated[int, Option("Images of a step.", "N")] = 32,
    lr: Annotated[float, Option("Largest learning rate of AdamW.", "RATE")] = 2e-3,
    width: Annotated[int, Option("Channels of the network's first level.", "N")] = 32,
    limit: Annotated[int | None, Option("Images to learn from at most.", "N")] = None,
    seed: Annotated[int, Option("Decides weights, order and noise.", "S")] = 0,
    device: Device = "auto",
    download: Download = False,
    json: Json = False,
) -> int:
    """Train a diffusion model on images and write it as one file.

    The model serves the defence denoise and the command generate sample.

    Exit codes: 0 success, 2 wrong usage or bad input.
    """
    from unshaken.api.generate import fit_generator
    from unshaken.generate.fitting import Fitting

    fitting = Fitting(steps=steps, batch_size=batch_size, lr=lr, seed=seed)
    with progress(session):
        fitted = fit_generator(
            data, method, out=out, conditional=conditional, limit=limit, fitting=fitting, width=width,
            device=device, download=download,
        )  # fmt: skip
    last = fitted.losses[-50:]
    loss = sum(last) / len(last) if last else None
    if json:
        print_json({"model": out, "method": fitted.model.kind, "steps": steps if last else 0, "loss": loss})
    elif not last:
        print_line(f"model: {out} (fitted at once)")
    else:
        print_line(f"model: {out} (mean loss of the last {len(last)} steps: {loss:.4f})")
    return 0


@app.command("sample")
@verb(python="generate.sample")
def sample_(
    session: Session,
    generator: GeneratorFile,
    n: Annotated[int, Option("Number of images.", "N")] = 16,
    classes: Annotated[str, Option("Classes by number, in turn; of a conditional model.", "all|C,C,...")] = "all",
    guidance: Annotated[float, Option("0 ignores the class, 1 takes it as it is.", "W")] = 1.0,
    steps: Levels = None,
    seed: Annotated[int, Option("Image i follows from it and i alone.", "S")] = 0,
    out: Annotated[
        str | None,
        OutputFolder("Folder for the PNG files. Default: a new one in runs/.", "DIR", records=("generated.json",)),
    ] = None,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Make images by a diffusion model, as PNG files that 'folder:DIR' reads as data.

    Exit codes: 0 success, 2 wrong usage or bad input.
    """
    from unshaken.api import default_out
    from unshaken.api.generate import sample_generator

    out = out or default_out(generator, "generated", str(n))

    with progress(session):
        made = sample_generator(
            generator, n, out=out, classes=_classes(classes), guidance=guidance, steps=steps, seed=seed,
            device=device,
        )  # fmt: skip
    if json:
        print_json(
            {"folder": out, "n": len(made.images), "labels": None if made.labels is None else made.labels.tolist()}
        )
    else:
        print_line(f"images: {out} ({len(made.images)} PNG files)")
    return 0


@app.command("dataset")
@verb(first="generator n classes filter-model device out", python="generate.dataset")
def dataset_(
    session: Session,
    generator: GeneratorFile,
    n: Annotated[int, Option("Number of images.", "N")],
    out: Annotated[str, OutputFile("The set's file, parquet.", "FILE")],
    classes: Annotated[str, Option("Classes by number, in turn.", "all|C,C,...")] = "all",
    condition: Annotated[
        str, Option("What an image starts from: a class, a real image, or both.", "label|image|both")
    ] = "label",
    source: Annotated[str | None, Option("Labelled real images to vary.", "SPEC")] = None,
    strength: Annotated[float, Option("In (0, 1]: how much of an image is made anew.", "S")] = 0.5,
    guidance: Annotated[float, Option("Strength of the class; 1 takes it as it is.", "W")] = 1.0,
    steps: Levels = None,
    filter_model: Annotated[str | None, Option("Classifier that checks every image.", "SPEC")] = None,
    confidence: Annotated[float, Option("Least probability that --filter-model gives the class.", "P")] = 0.5,
    held_out: Annotated[str | None, Option("Images not to be repeated, such as the test set.", "SPEC")] = None,
    seed: Annotated[int, Option("The same seed gives the same file.", "S")] = 0,
    device: Device = "auto",
    download: Download = False,
    json: Json = False,
) -> int:
    """Make a labelled training set by a generator, as one parquet file that says how each image was made.

    Train on it as 'parquet:FILE', or beside real images as 'mix:REAL+parquet:FILE@1'.

    Exit codes: 0 success, 2 wrong usage or bad input.
    """
    from unshaken.api.generate import generate_set

    with progress(session):
        made = generate_set(
            generator, n, out=out, classes=_classes(classes), condition=condition, source=source,
            strength=strength, guidance=guidance, steps=steps, seed=seed, filter_model=filter_model,
            confidence=confidence, held_out=held_out, device=device, download=download,
        )  # fmt: skip
    if json:
        leaked = [{"number": number, "copy_of": name} for number, name in made.leaked]
        print_json(
            {
                "file": out, "n": n, "drawn": made.drawn, "refused": made.refused, "leaked": leaked,
                "speed": made.speed.to_json(),
            }
        )  # fmt: skip
    else:
        refused = ", ".join(f"{name} {count}" for name, count in made.refused.items())
        print_line(f"labelled set: {out} ({n} images, {made.drawn} drawn; refused: {refused}); {made.speed}")
    return 0


@app.command("measure")
@verb(first="real generated model held-out limit device", python="generate.measure")
def measure_(
    session: Session,
    real: Annotated[str, Option("Real images.", "SPEC")],
    generated: Annotated[str, Option("Generated images.", "SPEC")],
    model: Annotated[str, Option("Network whose features are compared.", "SPEC")] = "imagenet:efficientnet-lite0",
    held_out: Annotated[str | None, Option("Images that must not be repeated.", "SPEC")] = None,
    limit: Annotated[int | None, Option("Images of each set at most.", "N")] = None,
    neighbours: Annotated[int, Option("Neighbours of precision and recall.", "K")] = 3,
    epochs: Annotated[int, Option("Epochs of a small network for the accuracy score; 0 for none.", "N")] = 0,
    seed: Annotated[int, Option("Of the subset and the training.", "S")] = 0,
    device: Device = "auto",
    download: Download = False,
    json: Json = False,
) -> int:
    """Compare a generated set with real images: distances, precision and recall, diversity, copies.

    Exit codes: 0 success, 2 wrong usage or bad input.
    """
    from unshaken.api.generate_measure import measure_generated

    with progress(session):
        found = measure_generated(
            real, generated, model=model, held_out=held_out, limit=limit, neighbours=neighbours, epochs=epochs,
            seed=seed, device=device, download=download,
        )  # fmt: skip
    if json:
        print_json(found)
        return 0
    print_line(f"features of {found['features']}: {found['dimensions']} dimensions")
    for name, value in found.items():
        if name in ("features", "dimensions", "reasons", "recognisability_by_class"):
            continue
        if isinstance(value, dict):
            print_line(f"{name}: {value['value']:.4f} [{value['low']:.4f}, {value['high']:.4f}]")
        elif value is None:
            print_line(f"{name}: none ({found['reasons'][name]})")
        else:
            print_line(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")
    return 0


@app.command("scaling")
@verb(first="real generated test model sizes out", python="generate.scaling")
def scaling_(
    session: Session,
    real: Annotated[str, Option("Labelled real images to learn from.", "SPEC")],
    generated: Annotated[list[str], Option("Labelled generated images. May be repeated.", "SPEC")],
    test: Annotated[str, Option("Labelled real images that judge.", "SPEC")],
    model: Annotated[str, START_MODEL] = "small-cnn",
    method: Annotated[
        list[str] | None,
        Option("A recipe of the trainings. May be repeated.", "NAME[:k=v,...]", read=check_method("harden")),
    ] = None,
    sizes: Annotated[str, Option("Unique training images, rising.", "N,N,...")] = "250,500,1000,2000",
    repetitions: Annotated[int, Option("Trainings of each source and size.", "N", COUNT)] = 3,
    updates: Annotated[int, Option("Optimizer steps of a training.", "N", COUNT)] = 600,
    batch_size: Annotated[int, Option("Images of a step.", "N", BATCH)] = 128,
    lr: Annotated[float, Option("Largest learning rate.", "RATE")] = 0.05,
    limit: Annotated[int | None, Option("Images of each set at most.", "N", LIMIT)] = None,
    seed: Seed = 0,
    out: Annotated[
        str | None, OutputFolder("Run directory. Default: runs/ and a name.", "DIR", records=SCALING_RECORDS)
    ] = None,
    resume: Resume = False,
    device: Device = "auto",
    download: Download = False,
    allow_code: AllowCode = None,
    json: Json = False,
) -> int:
    """Measure how a loss falls with more real and more generated images, and how many of these one real image is worth.

    Exit codes: 0 success, 2 wrong usage or bad input.
    """
    from unshaken.api.generate_scaling import measure_scaling
    from unshaken.report.pages.scaling import SCALING

    with progress(session):
        result = measure_scaling(
            real, generated, test, model=model, methods=method or (), sizes=_numbers("sizes", sizes),
            repetitions=repetitions, updates=updates, batch_size=batch_size, lr=lr, limit=limit, seed=seed, out=out,
            resume=resume, device=device, download=download,
        )  # fmt: skip
    return _show(session, result, SCALING, f"report: {result.run}/report.html", json=json)


@app.command("texture")
@verb(first="photo size block model judge out", python="generate.texture")
def texture_(
    session: Session,
    photo: Annotated[str, Option("Image file to make the texture of.", "FILE")],
    size: Annotated[int, Option("Side of the texture in pixels.", "N", TEXTURE_SIDE)] = 256,
    block: Annotated[int, Option("Side of the photo's blocks, larger than what repeats.", "N", BLOCK_SIDE)] = 64,
    candidates: Annotated[int, Option("Textures that the loss chooses from.", "N", CANDIDATES)] = 16,
    model: Annotated[str, Option("Network that gives the tileability loss.", "SPEC")] = "demo:tile-net",
    judge: Annotated[str, Option("Network trained apart from it that judges.", "SPEC")] = "demo:tile-judge",
    seed: Seed = 0,
    out: Annotated[
        str | None, OutputFolder("Run directory. Default: runs/ and a name.", "DIR", records=TEXTURE_RECORDS)
    ] = None,
    resume: Resume = False,
    device: Device = "auto",
    download: Download = False,
    allow_code: AllowCode = None,
    json: Json = False,
) -> int:
    """Make a texture that tiles of a photo, chosen by a tileability loss, and measure it by a second network.

    Exit codes: 0 success, 2 wrong usage or bad input.
    """
    from unshaken.api.generate_texture import make_texture
    from unshaken.report.pages.texture import TEXTURE

    with progress(session):
        result = make_texture(
            photo, size=size, block=block, candidates=candidates, model=model, judge=judge, seed=seed, out=out,
            resume=resume, device=device, download=download,
        )  # fmt: skip
    last = f"texture: {result.run}/texture.png; report: {result.run}/report.html"
    return _show(session, result, TEXTURE, last, json=json)


def _show(
    session: Session, result: ScalingResult | TextureResult, kind: PageKind[Any], last: str, *, json: bool
) -> int:
    """Print a finished run: its summary as JSON, or its page's brief blocks and a last line."""
    if json:
        print_json(result.summary)
        return 0
    if not session.quiet:
        print_page(kind.page_of(result.run))
    print_line(last)
    return 0


@app.command("directions")
@verb(first="generator data model k limit out", python="api.find_natural_directions")
def find_directions(
    session: Session,
    generator: Annotated[str, Option("What generate fit wrote, diffusers:DIR or py:FILE:FACTORY.", "FILE|SPEC")],
    data: Data,
    model: Model,
    out: Annotated[str, OutputFile("The file, safetensors; a PNG beside it.", "FILE", suffixes=(".png",))],
    k: Annotated[int, Option("Number of directions to find.", "N")] = 8,
    amplitude: Annotated[float, Option("Ends, in deviations of the codes.", "A")] = 1.5,
    most_changed: Annotated[float, Option("Share of images whose class a direction may change.", "SHARE")] = 0.1,
    limit: Annotated[int, Option("Number of images at most.", "N")] = 1000,
    seed: Annotated[int, Option("Random seed of the subset and the codes.", "S")] = 0,
    device: Device = "auto",
    download: Download = False,
    allow_code: AllowCode = None,
    json: Json = False,
) -> int:
    """Find directions along which a generator changes images, without those that change the class.

    Model is a reference classifier, not the one to be attacked or trained. The attack natra and the recipe
    natra-training take the file.

    Exit codes: 0 success, 2 wrong usage or bad input.
    """
    from unshaken.api.natural import find_natural_directions

    with progress(session):
        found = find_natural_directions(
            generator, data, model, out=out, k=k, amplitude=amplitude, most_changed=most_changed, limit=limit,
            seed=seed, device=device, download=download,
        )  # fmt: skip
    if json:
        print_json({"file": out, "images": found.images, "directions": found.table()})
        return 0
    for row in found.table():
        kept = "kept" if row["kept"] else "left out"
        print_line(
            f"direction {row['direction']}: {kept}, changes {row['changed']:.1%} of classes; moves {row['statistic']} "
            f"(correlation {row['correlation']:+.2f})"
        )
    print_line(f"directions: {out} (grid: {Path(out).with_suffix('.png')})")
    return 0


def _classes(text: str) -> tuple[int, ...] | None:
    return None if text == "all" else _numbers("classes", text, "'all', or ")


def _numbers(name: str, text: str, others: str = "") -> tuple[int, ...]:
    try:
        return tuple(parse_whole(part, least=0) for part in text.split(","))
    except ParameterError:
        raise ParameterError(f"--{name} {text!r}: write {others}numbers separated by commas") from None
