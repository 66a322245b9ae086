"""Event files, which TensorBoard shows."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from typing_extensions import override

from unshaken.core.errors import MissingExtra
from unshaken.store.tracking.sink import Sink


class EventFiles(Sink):
    """Event files in a folder; the run has a subfolder of its name.

    Args:
        folder: where.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder).expanduser().absolute()
        super().__init__(f"tensorboard:{self.folder}")
        if find_spec("tensorboard") is None and find_spec("tensorboardX") is None:
            raise MissingExtra("tensorboardX", "tracking", f"track {self.address!r}")

    @override
    def begin(self, name: str, run: str, parameters: Mapping[str, str]) -> str:
        names = (name if i == 1 else f"{name}-{i}" for i in itertools.count(1))
        own = run or next(n for n in names if not (self.folder / n).exists())
        again = f".{time.time_ns()}"  # files of one second have one name, and the later would replace the earlier
        self.writer = _writer(self.folder / own, again)
        if not run:
            lines = ["|parameter|value|", "|---|---|", *(f"|{k}|{v}|" for k, v in parameters.items())]
            self.writer.add_text("parameters", "\n".join(lines), 0)
        self.writer.flush()
        return own

    @override
    def log_metrics(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    @override
    def log_tags(self, tags: Mapping[str, str]) -> None:
        for name, text in tags.items():
            self.writer.add_text(name, text, 0)
        self.writer.flush()

    @override
    def log_files(self, folder: Path) -> None:
        self.log_tags({p.stem: p.read_text(encoding="utf-8") for p in sorted(folder.glob("*.md"))})

    @override
    def close(self, status: str) -> None:
        self.writer.close()


def _writer(folder: Path, suffix: str) -> Any:
    """TensorBoard's own writer where it is installed, else that of tensorboardX; both have the same methods."""
    if find_spec("tensorboard") is not None:
        from torch.utils.tensorboard import SummaryWriter as Own

        return Own(str(folder), filename_suffix=suffix)
    from tensorboardX import SummaryWriter

    return SummaryWriter(str(folder), filename_suffix=suffix)
