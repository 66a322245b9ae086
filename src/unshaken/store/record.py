"""`begin_record`: the settings of a run that is kept in steps, written down once and compared when it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unshaken.core.errors import RunError
from unshaken.store.run_dir import RunDir


def begin_record(run: RunDir, name: str, settings: Mapping[str, Any], *, resume: bool) -> dict[str, Any]:
    """Write down the settings of a run that begins, or compare them with those of the run that is there.

    Args:
        run: its directory, locked.
        name: of the record, such as `scaling.json`.
        settings: all that decides the rows, as JSON values.
        resume: go on with the run that is there.

    Returns:
        The record: `schema`, `settings`, and `finished`, which is False.

    Raises:
        RunError: there is a run and `resume` is not given, or one with other settings, or the folder is of another
            command.
    """
    if not run.exists(name):
        if run.exists("rows"):
            raise RunError(f"{run}: holds rows of another command; choose another --out")
        run.write_json({"schema": 1, "settings": dict(settings), "finished": False}, name)
    elif not resume:
        raise RunError(f"{run}: holds a run already; add --resume or choose another --out")
    record = run.read_json(name)
    there = record.get("settings") if isinstance(record, dict) else None
    if not isinstance(there, dict):
        raise RunError(f"{run}: {name} is damaged; choose another --out")
    if names := [key for key in settings if there.get(key) != settings[key]]:
        raise RunError(f"{run}: was begun with other settings ({', '.join(names)} differ); choose another --out")
    return {"schema": 1, "settings": there, "finished": False}
