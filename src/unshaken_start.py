"""The program `unshaken`. It stands outside the package, so that Ctrl-C is answered before anything is imported."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the module signal takes its time for its enumerations
import gc
import os
import sys

TYPE_CHECKING = False  # as the module typing has it, whose import takes as long as all of this
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

INTERRUPTED = 130
"""As shells say of a program that Ctrl-C ended."""


def main() -> int:
    """Run the command line, whose imports may be interrupted at any time.

    Returns:
        The exit code; see `unshaken.cli.main`.
    """
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:  # not where it is ignored, as under nohup
        _signal.signal(_signal.SIGINT, _interrupt)
    gc.set_threshold(*gc.get_threshold()[:2], 100)  # while torch is imported, all before is searched six times in vain
    try:
        from unshaken.cli import main as run

        code = run()
        gc.freeze()  # else the interpreter's end searches all that torch has made, several times
        return code
    except KeyboardInterrupt:
        _end()


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End at once during an import, in which an exception may be swallowed or turned into another; else raise."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _end()
        frame = frame.f_back
    raise KeyboardInterrupt


def _end() -> NoReturn:
    session = sys.modules.get("unshaken.cli.session")
    say = getattr(session, "interrupted_line", lambda: "interrupted")  # it may be half imported
    os.write(2, f"unshaken: {say()}\n".encode())
    os._exit(INTERRUPTED)
