"""One tiny run of each row, made once and shared by the row's own tests and the battery.

The battery finds rows by itself: those of the package, and one that `unshaken papers new` writes. Their sizes are
`[sizes.tiny]` of their claim; what else a tiny run needs is `TINY` of the row's own test file, which may have none.
"""

from __future__ import annotations

import fcntl
import importlib
import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.papers.tiny import Tiny, make_tints
from unshaken.papers import PaperResult, run_paper
from unshaken.papers.datasets import Datasets, Split
from unshaken.papers.folders import find_row


def tiny_of(slug: str) -> Tiny:
    """How a row is run in a few seconds."""
    name = f"tests.papers.test_{slug.replace('-', '_')}"
    if importlib.util.find_spec(name) is None:
        return Tiny()
    found: Tiny = getattr(importlib.import_module(name), "TINY", Tiny())
    return found


def tiny_text(slug: str, tiny: Tiny, folder: Path) -> str:
    """The row with its tiny parameters, as on the command line.

    Args:
        slug: of the row.
        tiny: what its test file says.
        folder: of the data.
    """
    values = {**find_row(slug).tiny, **{k: v.format(folder=folder) for k, v in tiny.parameters.items()}}
    texts = (f"{k}={'+'.join(map(str, v)) if isinstance(v, list | tuple) else v}" for k, v in values.items())
    return f"{slug}:{','.join(texts)}"


@dataclass(frozen=True)
class Finished:
    """A tiny run.

    Args:
        text: slug and parameters.
        data: SPEC.
        model: SPEC, or None for the row's own.
        out: the run directory.
        cache: the folder of trained networks.
        result: of the first run.
        taken: the ids of each draw of images, as `Drawn` notes them.
    """

    text: str
    data: str
    model: str | None
    out: Path
    cache: Path
    result: PaperResult
    taken: list[list[str]]

    @property
    def seed0(self) -> dict[str, Any]:
        """The figures of the first seed, of rows that keep them by seed."""
        return {k.removeprefix("seed0."): v for k, v in self.result.measured.items() if k.startswith("seed0.")}


EXAMPLE = 2
"""Images, at most, whose sizes alone are looked at, such as those that a model is shown to learn its layers."""


class Drawn:
    """Notes which images are taken of whole data sets, or of all images of some of their classes."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.whole: list[Split] = []
        self.taken: list[list[str]] = []
        read, take = Datasets.read, Split.__getitem__

        def noted_read(datasets: Datasets, *args: Any, **options: Any) -> Split:
            self.whole.append(read(datasets, *args, **options))
            return self.whole[-1]

        def noted_take(split: Split, rows: Any) -> Split:
            found = take(split, rows)
            if any(split is one for one in self.whole):
                by_class = getattr(rows, "dtype", None) in (torch.bool, np.dtype(bool))
                if by_class:
                    self.whole.append(found)
                elif EXAMPLE < len(found) < len(split):
                    self.taken.append(sorted(set(found.ids)))
            return found

        patch.setattr(Datasets, "read", noted_read)
        patch.setattr(Split, "__getitem__", noted_take)


@pytest.fixture(scope="session")
def tints(tmp_path_factory: pytest.TempPathFactory) -> str:
    """See `make_tints`."""
    return make_tints(tmp_path_factory.mktemp("tints"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Finished]]:
    """From a slug to its tiny run, made once for all workers, each of which has a copy of its own.

    Its cache and patches stay in place for later runs.
    """
    known: dict[str, Finished] = {}
    shared = tmp_path_factory.getbasetemp()
    shared = (shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared) / "tiny-runs"
    shared.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:

        def run(slug: str) -> Finished:
            if slug not in known:
                tiny, whole, own = tiny_of(slug), shared / slug, tmp_path_factory.mktemp(slug)
                for name, value in tiny.patches.items():
                    patch.setattr(name, value)
                for module in tiny.needs:
                    pytest.importorskip(module)
                with (shared / f"{slug}.lock").open("w") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX)
                    if not (whole / "made.json").exists():
                        (whole / "images").mkdir(parents=True, exist_ok=True)
                        text, data = (
                            tiny_text(slug, tiny, whole / "images"),
                            tiny.data(whole / "images", find_row(slug)),
                        )
                        model = None if tiny.model is None else tiny.model(whole / "images")
                        patch.setenv("UNSHAKEN_CACHE", str(whole / "cache"))
                        with pytest.MonkeyPatch.context() as noting:
                            drawn = Drawn(noting)
                            run_paper(text, out=whole / "run", data=data, model=model)
                        (whole / "made.json").write_text(json.dumps([text, data, model, drawn.taken]))
                text, data, model, taken = json.loads((whole / "made.json").read_text())
                for name in ("run", "cache"):
                    if (whole / name).exists():
                        shutil.copytree(whole / name, own / name)
                (own / "images").symlink_to(whole / "images")
                result = PaperResult.model_validate_json((own / "run" / "result.json").read_text())
                known[slug] = Finished(text, data, model, own / "run", own / "cache", result, taken)
            patch.setenv("UNSHAKEN_CACHE", str(known[slug].cache))
            return known[slug]

        yield run
