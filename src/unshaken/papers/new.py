"""`write_row`: the folder of a new row, complete and ready to run, for its author to change."""

from __future__ import annotations

import os
import re
from pathlib import Path

from unshaken.core.errors import ParameterError

TEMPLATE = Path(__file__).parent / "template"


def write_row(name: str | os.PathLike[str]) -> Path:
    """Write the folder of a new row: a small claim on the demo models, its experiment, figures and test.

    Args:
        name: the folder, new; its last part is the row's name, of the characters a-z, 0-9 and _.

    Returns:
        The folder.

    Raises:
        ParameterError: the name is not allowed, or there is such a folder.
    """
    folder = Path(name)
    if not re.fullmatch("[a-z][a-z0-9_]*", folder.name):
        allowed = re.sub("[^a-z0-9_]+", "_", folder.name.lower()).strip("_0123456789") or "my_claim"
        raise ParameterError(f"{folder.name!r} is no name of a row: use the characters a-z, 0-9 and _: {allowed!r}")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise ParameterError(f"{folder}: cannot be made ({error.strerror}): choose another name") from None
    slug = folder.name.replace("_", "-")
    for source in sorted(TEMPLATE.iterdir()):
        target = source.name.removesuffix(".txt").replace("test_row", f"test_{folder.name}")
        (folder / target).write_text(source.read_text(encoding="utf-8").replace("SLUG", slug), encoding="utf-8")
    return folder
