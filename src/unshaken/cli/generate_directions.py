"""`unshaken generate directions`: directions of a generator's code that keep the class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unshaken.cli.options.shared import AllowCode, Data, Download, Json, Model
from unshaken.cli.progress import progress
from unshaken.cli.session import Session
from unshaken.cli.show import print_json, print_line
from unshaken.cli.verb import verb
from unshaken.core.errors import ParameterError


@verb
def find_directions(
    session: Session,
    generator: Annotated[
        str,
        typer.Option(
            metavar="FILE|SPEC", help="What generate fit wrote, diffusers:DIR or py:FILE:FACTORY.", show_default=False
        ),
    ],
    data: Data,
    model: Model,
    out: Annotated[
        str, typer.Option(metavar="FILE", help="The file, safetensors; a PNG beside it.", show_default=False)
    ],
    k: Annotated[int, typer.Option("--k", metavar="N", help="Number of directions to find.")] = 8,
    amplitude: Annotated[float, typer.Option(metavar="A", help="Ends, in deviations of the codes.")] = 1.5,
    most_changed: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of images whose class a direction may change.")
    ] = 0.1,
    limit: Annotated[int, typer.Option(metavar="N", help="Number of images at most.")] = 1000,
    seed: Annotated[int, typer.Option(metavar="S", help="Random seed of the subset and the codes.")] = 0,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="Device to compute on.")] = "auto",
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

    if not out:
        raise ParameterError("--out is empty: name a file to write to")
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
