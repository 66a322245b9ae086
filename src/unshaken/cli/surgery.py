"""`unshaken harden surgery extract|ablate|add|subtract`: signatures on files of weights."""

from __future__ import annotations

from typing import Annotated

import typer

from unshaken.cli.session import Session
from unshaken.cli.show import print_line
from unshaken.cli.verb import verb

app = typer.Typer(
    name="surgery", help="Extract robustness from fine-tuned weights as a small file, and add it to other weights."
)

Weights = Annotated[
    str, typer.Argument(metavar="BASE", help="Weights: a safetensors file or a run directory.", show_default=False)
]
Signature = Annotated[
    str, typer.Argument(metavar="SIGNATURE", help="Robustness signature: a file made by 'extract'.", show_default=False)
]
Alpha = Annotated[float, typer.Option(metavar="A", help="Factor that multiplies the signature.")]
Out = Annotated[str, typer.Option(metavar="FILE", help="File to write.", show_default=False)]


@app.command("extract")
@verb
def extract(
    session: Session,
    pretrained: Annotated[
        str,
        typer.Argument(
            metavar="PRETRAINED", help="Pretrained weights that both others were fine-tuned from.", show_default=False
        ),
    ],
    standard: Annotated[
        str, typer.Argument(metavar="STANDARD", help="Weights fine-tuned on clean images.", show_default=False)
    ],
    robust: Annotated[
        str,
        typer.Argument(
            metavar="ROBUST", help="Weights fine-tuned in the same way on corrupted images.", show_default=False
        ),
    ],
    out: Out,
    layers: Annotated[
        int | None, typer.Option(metavar="K", help="Only use the first K layers.", show_default=False)
    ] = None,
    arch: Annotated[
        str | None, typer.Option(metavar="NAME", help="Architecture of the weights.", show_default=False)
    ] = None,
    corruption: Annotated[
        str, typer.Option(metavar="WORDS", help="Name of the corruption that the robust weights were trained on.")
    ] = "",
    levels: Annotated[
        int, typer.Option(metavar="N", min=0, max=65_536, help="Number of quantisation levels; 0 for no quantisation.")
    ] = 0,
) -> int:
    """Extract a robustness signature from three files of weights."""
    from unshaken.harden.surgery import surgery

    report = surgery.extract(
        pretrained, standard, robust, out, layers=layers, arch=arch, corruption=corruption, levels=levels
    )
    print_line(f"signature: {out}, {report.ratio:.1f} times fewer numbers than the weights")
    return 0


@app.command("ablate")
@verb
def ablate(
    session: Session,
    base: Weights,
    units: Annotated[list[str], typer.Argument(metavar="LAYER:UNIT...", help="Units to take out.", show_default=False)],
    out: Out,
    arch: Annotated[
        str | None, typer.Option(metavar="NAME", help="Architecture of the weights.", show_default=False)
    ] = None,
) -> int:
    """Write a signature that takes units out of weights when it is added with alpha 1."""
    from unshaken.harden.surgery import surgery

    count = surgery.ablate(base, units, out, arch=arch)
    print_line(f"signature: {out}, takes out {count} {'unit' if count == 1 else 'units'}")
    return 0


@app.command("add")
@verb
def add(session: Session, base: Weights, signature: Signature, out: Out, alpha: Alpha = 1.0) -> int:
    """Add a robustness signature to weights."""
    from unshaken.harden.surgery import surgery

    surgery.add(base, signature, alpha, out)
    print_line(f"weights: {out}")
    return 0


@app.command("subtract")
@verb
def subtract(session: Session, base: Weights, signature: Signature, out: Out, alpha: Alpha = 1.0) -> int:
    """Subtract a robustness signature from weights."""
    from unshaken.harden.surgery import surgery

    surgery.subtract(base, signature, alpha, out)
    print_line(f"weights: {out}")
    return 0
