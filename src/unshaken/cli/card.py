"""`unshaken card`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from unshaken.cli.options import Run
from unshaken.cli.show import print_line
from unshaken.cli.verb import verb
from unshaken.core.options import Option


@verb
def card(
    directory: Run,
    into: Annotated[
        str | None,
        Option("Model card to update, such as README.md; it is made if absent. Default: print the card.", "FILE"),
    ] = None,
    name: Annotated[
        str | None, Option("Name of the model in the card. Default: that of the card, else of the run.", "TEXT")
    ] = None,
) -> int:
    """Write the results of a run as a Hugging Face model card: model-index metadata and a section in Markdown."""
    from unshaken.core.errors import ParameterError
    from unshaken.report.model_card import model_card
    from unshaken.store.run_dir import RunDir

    if into is None:
        for line in model_card(RunDir(directory), name=name).splitlines():
            print_line(line)
        return 0
    place = Path(into).resolve()
    part = place.with_name(f"{place.name}.part")
    try:
        old = place.read_text(encoding="utf-8") if place.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"--into {into!r} cannot be read ({error}); give a Markdown file") from None
    new = model_card(RunDir(directory), card=old, name=name)
    try:
        part.write_text(new, encoding="utf-8")
        part.replace(place)  # what was there stays whole, whatever happens meanwhile
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ParameterError(f"--into {into!r} cannot be written ({error.strerror or error})") from None
    print_line(f"card: {into}")
    return 0
