"""`unshaken corrupt`."""

from __future__ import annotations

from typing import Annotated

from unshaken.cli.options import Data, Download
from unshaken.cli.progress import progress
from unshaken.cli.session import Session
from unshaken.cli.show import print_line
from unshaken.cli.verb import verb
from unshaken.core.options import LIMIT, SEED, Option


@verb
def corrupt(
    session: Session,
    data: Data,
    out: Annotated[str, Option("Folder for the files, new or empty.", "DIR")],
    layout: Annotated[
        str, Option("Arrays of small images, or JPEG files of photos.", "cifar-c|imagenet-c")
    ] = "cifar-c",
    corruption: Annotated[
        list[str] | None,
        Option("A corruption; may be repeated. Default: the 15 of ImageNet-C's test set.", "NAME[:k=v,...]"),
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
    from unshaken.api.write_corrupted import write_corrupted
    from unshaken.core.errors import ParameterError
    from unshaken.run.plan import THE_15

    if layout not in ("cifar-c", "imagenet-c"):
        raise ParameterError(f"--layout {layout!r} is not one of cifar-c, imagenet-c")
    with progress(session):
        made = write_corrupted(
            data, out, layout="cifar-c" if layout == "cifar-c" else "imagenet-c", corruptions=corruption or THE_15,
            limit=limit, seed=seed, folders=folders, download=download,
        )  # fmt: skip
    print_line(f"files: {out} ({made.samples} images, {len(made.corruptions)} corruptions at 5 severities)")
    print_line(f"read them as {made.spec}?clean={data}")
    return 0
