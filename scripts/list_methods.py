"""Writes src/unshaken/core/methods.json: what lists show of each method, one a line, so that no list imports any.

    python scripts/list_methods.py

A test compares the file with the registry.
"""

from __future__ import annotations

import json
from pathlib import Path

from unshaken.core.registry import RECORDS, list_methods

FILE = Path(__file__).resolve().parents[1] / "src" / "unshaken" / RECORDS


def records() -> str:
    """A list in JSON, in the order of `list_methods`."""
    return "[\n" + ",\n".join(json.dumps(m.record(), ensure_ascii=False) for m in list_methods()) + "\n]\n"


if __name__ == "__main__":
    FILE.write_text(records(), encoding="utf-8")
    print(FILE)
