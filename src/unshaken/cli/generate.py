"""`unshaken generate fit` and `unshaken generate sample`."""

from __future__ import annotations

from typing import Annotated

import typer

from unshaken.cli.options.shared import Data, Download, Json
from unshaken.cli.progress import progress
from unshaken.cli.session import Session
from unshaken.cli.show import print_json, print_line
from unshaken.cli.verb import verb
from unshaken.core.errors import ParameterError

app = typer.Typer(help="Train a small generative model, and make images by one.", no_args_is_help=True)

Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="Device to compute on.")]


@app.command("fit")
@verb
def fit_(
    session: Session,
    data: Data,
    out: Annotated[str, typer.Option(metavar="FILE", help="The model's file, safetensors.", show_default=False)],
    method: Annotated[str, typer.Option(metavar="NAME[:k=v,...]", help="A method of the room generate.")] = "edm",
    conditional: Annotated[
        bool, typer.Option("--conditional", help="Learn the classes too, to be asked for one.", show_default=False)
    ] = False,
    steps: Annotated[int, typer.Option(metavar="N", help="Optimizer steps.")] = 2000,
    batch_size: Annotated[int, typer.Option(metavar="N", help="Images of a step.")] = 32,
    lr: Annotated[float, typer.Option(metavar="RATE", help="Largest learning rate of AdamW.")] = 2e-3,
    width: Annotated[int, typer.Option(metavar="N", help="Channels of the network's first level.")] = 32,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="Images to learn from at most.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(metavar="S", help="Decides weights, order and noise.")] = 0,
    device: Device = "auto",
    download: Download = False,
    json: Json = False,
) -> int:
    """Train a diffusion model on images and write it as one file.

    The model serves the defence denoise and the command generate sample.

    Exit codes: 0 success, 2 wrong usage or bad input.
    """
    from unshaken.api.generate import fit_generator
    from unshaken.generate.fit import Fitting

    fitting = Fitting(steps=steps, batch_size=batch_size, lr=lr, seed=seed)
    with progress(session):
        fitted = fit_generator(
            data, method, out=_place(out), conditional=conditional, limit=limit, fitting=fitting, width=width,
            device=device, download=download,
        )  # fmt: skip
    last = fitted.losses[-50:]
    loss = sum(last) / len(last)
    if json:
        print_json({"model": out, "method": fitted.model.kind, "steps": steps, "loss": loss})
    else:
        print_line(f"model: {out} (mean loss of the last {len(last)} steps: {loss:.4f})")
    return 0


@app.command("sample")
@verb
def sample_(
    session: Session,
    model: Annotated[str, typer.Option(metavar="FILE", help="What generate fit wrote.", show_default=False)],
    n: Annotated[int, typer.Option("--n", metavar="N", help="Number of images.")] = 16,
    classes: Annotated[
        str, typer.Option(metavar="all|C,C,...", help="Classes by number, in turn; of a conditional model.")
    ] = "all",
    guidance: Annotated[float, typer.Option(metavar="W", help="0 ignores the class, 1 takes it as it is.")] = 1.0,
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Levels of noise. Default: the method's.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(metavar="S", help="Image i follows from it and i alone.")] = 0,
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder for the PNG files.")] = "runs/generated",
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Make images by a diffusion model, as PNG files that 'folder:DIR' reads as data.

    Exit codes: 0 success, 2 wrong usage or bad input.
    """
    from unshaken.api.generate import sample_generator

    with progress(session):
        made = sample_generator(
            model, n, out=_place(out), classes=_classes(classes), guidance=guidance, steps=steps, seed=seed,
            device=device,
        )  # fmt: skip
    if json:
        print_json(
            {"folder": out, "n": len(made.images), "labels": None if made.labels is None else made.labels.tolist()}
        )
    else:
        print_line(f"images: {out} ({len(made.images)} PNG files)")
    return 0


def _place(out: str) -> str:
    if not out:
        raise ParameterError("--out is empty: name a place to write to")
    return out


def _classes(text: str) -> tuple[int, ...] | None:
    if text == "all":
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ParameterError(f"--classes {text!r}: write 'all', or numbers separated by commas") from None
