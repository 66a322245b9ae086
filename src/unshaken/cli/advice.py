"""Answers at the end of a command's help: which eps, how many images, how long, and what a good result is.

They stand in `choosing.md`, which the page *Choosing settings* of the documentation shows too.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path


@cache
def _sections() -> dict[str, str]:
    text = Path(__file__).with_name("choosing.md").read_text(encoding="utf-8")
    parts = re.split(r"^## unshaken (.+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def epilog(command: str) -> str | None:
    """Advice and examples as the last part of a command's help; None for a command without.

    Args:
        command: its name, such as `audit`.
    """
    paragraphs = re.sub(r"^```.*\n?", "", _sections().get(command, ""), flags=re.MULTILINE).strip().split("\n\n")
    lines = [re.sub(r"\n(?=unshaken )", "; then: ", text).replace("\n", " ") for text in paragraphs]
    return "\n\n".join(f"Example: {line}" if line.startswith("unshaken ") else line for line in lines) or None
