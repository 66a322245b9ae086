"""`Session`: what one call of the command line knows of itself."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field


@dataclass(slots=True)
class Session:
    """One call of the command line.

    Args:
        arguments: as they came, without the program's name.
        debug: show tracebacks.
        quiet: no progress and no tables.
        subcommand: of the verb that is being run; empty when there is none.
        resume: the command that goes on with the run under way; empty when there is none.
    """

    arguments: list[str] = field(default_factory=list)
    debug: bool = False
    quiet: bool = False
    subcommand: str = ""
    resume: str = ""

    def makes_run(self, out: str, *, given: bool) -> None:
        """Remember how the run that is about to begin can be resumed.

        Args:
            out: the run directory.
            given: it stands among the arguments already.
        """
        extra = [] if given else ["--out", out]
        if "--resume" not in self.arguments:
            extra.append("--resume")
        self.goes_on_with(extra)

    def goes_on_with(self, extra: list[str]) -> None:
        """Remember that the same command with further arguments goes on with what is under way."""
        self.resume = shlex.join(["unshaken", *self.arguments, *extra])
