"""`unshaken generate directions`: directions of a generator's code that keep the class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from unshaken.cli.options import AllowCode, Data, Download, Json, Model
from unshaken.cli.progress import progress
from unshaken.cli.session import Session
from unshaken.cli.show import print_json, print_line
from unshaken.cli.verb import verb
from unshaken.core.errors import ParameterError
from unshaken.core.options import Option


@verb
def find_directions(
    session: Session,
    generator: Annotated[str, Option("What generate fit wrote, diffusers:DIR or py:FILE:FACTORY.", "FILE|SPEC")],
    data: Data,
    model: Model,
    out: Annotated[str, Option("The file, safetensors; a PNG beside it.", "FILE")],
    k: Annotated[int, Option("Number of directions to find.", "N")] = 8,
    amplitude: Annotated[float, Option("Ends, in deviations of the codes.", "A")] = 1.5,
    most_changed: Annotated[float, Option("Share of images whose class a direction may change.", "SHARE")] = 0.1,
    limit: Annotated[int, Option("Number of images at most.", "N")] = 1000,
    seed: Annotated[int, Option("Random seed of the subset and the codes.", "S")] = 0,
    device: Annotated[str, Option("Device to compute on.", "auto|cpu|cuda|mps")] = "auto",
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
