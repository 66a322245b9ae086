"""`unshaken harden surgery extract|ablate|add|subtract`: signatures on files of weights."""

from __future__ import annotations

from typing import Annotated

from unshaken.cli.session import Session
from unshaken.cli.show import print_line
from unshaken.cli.verb import Program, verb
from unshaken.core.options import Argument, Option, OutputFile

app = Program(
    name="surgery", help="Extract robustness from fine-tuned weights as a small file, and add it to other weights."
)

Weights = Annotated[str, Argument("Weights: a safetensors file or a run directory.", "BASE")]
Signature = Annotated[str, Argument("Robustness signature: a file made by 'extract'.", "SIGNATURE")]
Alpha = Annotated[float, Option("Factor that multiplies the signature.", "A")]
Out = Annotated[str, OutputFile("File to write.", "FILE")]


@app.command("extract")
@verb()
def extract(
    session: Session,
    pretrained: Annotated[str, Argument("Pretrained weights that both others were fine-tuned from.", "PRETRAINED")],
    standard: Annotated[str, Argument("Weights fine-tuned on clean images.", "STANDARD")],
    robust: Annotated[str, Argument("Weights fine-tuned in the same way on corrupted images.", "ROBUST")],
    out: Out,
    layers: Annotated[int | None, Option("Only use the first K layers.", "K")] = None,
    arch: Annotated[str | None, Option("Architecture of the weights.", "NAME")] = None,
    corruption: Annotated[
        str | None, Option("Name of the corruption that the robust weights were trained on.", "WORDS")
    ] = None,
    levels: Annotated[int, Option("Number of quantisation levels; 0 for no quantisation.", "N", (0, 65_536))] = 0,
) -> int:
    """Extract a robustness signature from three files of weights."""
    from unshaken.harden.surgery import surgery

    report = surgery.extract(
        pretrained, standard, robust, out, layers=layers, arch=arch, corruption=corruption or "", levels=levels
    )
    print_line(f"signature: {out}, {report.ratio:.1f} times fewer numbers than the weights")
    return 0


@app.command("ablate")
@verb()
def ablate(
    session: Session,
    base: Weights,
    units: Annotated[list[str], Argument("Units to take out.", "LAYER:UNIT...")],
    out: Out,
    arch: Annotated[str | None, Option("Architecture of the weights.", "NAME")] = None,
) -> int:
    """Write a signature that takes units out of weights when it is added with alpha 1."""
    from unshaken.harden.surgery import surgery

    count = surgery.ablate(base, units, out, arch=arch)
    print_line(f"signature: {out}, takes out {count} {'unit' if count == 1 else 'units'}")
    return 0


@app.command("add")
@verb()
def add(session: Session, base: Weights, signature: Signature, out: Out, alpha: Alpha = 1.0) -> int:
    """Add a robustness signature to weights."""
    from unshaken.harden.surgery import surgery

    surgery.add(base, signature, alpha, out)
    print_line(f"weights: {out}")
    return 0


@app.command("subtract")
@verb()
def subtract(session: Session, base: Weights, signature: Signature, out: Out, alpha: Alpha = 1.0) -> int:
    """Subtract a robustness signature from weights."""
    from unshaken.harden.surgery import surgery

    surgery.subtract(base, signature, alpha, out)
    print_line(f"weights: {out}")
    return 0
