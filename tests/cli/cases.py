"""The bad inputs of `bad_inputs.txt`: what was typed, what stands on stderr, the exit code."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("bad_inputs.txt")


@dataclass(frozen=True)
class Case:
    """One bad input.

    Args:
        kind: of what is wrong.
        typed: the whole command.
        message: on stderr; an ellipsis stands for anything, such as another package's words.
        code: the exit code.
    """

    kind: str
    typed: str
    message: str
    code: int

    @property
    def arguments(self) -> list[str]:
        """Without the program's name."""
        return shlex.split(self.typed)[1:]

    def fits(self, stderr: str) -> bool:
        """Whether stderr is what was said."""
        pattern = ".*".join(re.escape(part) for part in self.message.split("…"))
        return re.fullmatch(pattern + "\n", stderr) is not None


def read() -> list[Case]:
    """All cases, in order."""
    found: list[Case] = []
    kind = ""
    for block in SOURCE.read_text(encoding="utf-8").split("\n\n"):
        lines = block.strip().splitlines()
        if lines[0].startswith("# "):
            kind = lines.pop(0).removeprefix("# ")
        if lines:
            typed, *message, code = lines
            found.append(Case(kind, typed.removeprefix("$ "), "\n".join(message), int(code.strip("[]"))))
    return found
