"""Submissions as a careful forger changes them."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path


def change(file: Path, name: str, data: bytes | None, *, digests: bool = False) -> None:
    """Change a file of a submission, remove it, or add it; and its digest, as a careful forger would."""
    with zipfile.ZipFile(file) as archive:
        files = {one: archive.read(one) for one in archive.namelist()}
    files.pop(name, None)
    if data is not None:
        files[name] = data
    if digests:
        record = json.loads(files["submission.json"])
        record["files"] = {one: hashlib.sha256(files[one]).hexdigest() for one in files if one != "submission.json"}
        files["submission.json"] = json.dumps(record).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for one, content in files.items():
            archive.writestr(one, content)
