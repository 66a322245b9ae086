"""`Option`, a parameter as the command line shows it, and `Options`, the parameters of every function that makes a run.

An option is declared once: the command line, the Python functions, their checks, signatures and docstrings, and shell
completion are made from the declaration. Importing it is quick, for `unshaken --help` waits for it.
"""

from __future__ import annotations

import functools
import re
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from unshaken.core.errors import ModelError
from unshaken.core.numbers import LARGEST_BATCH, LARGEST_COUNT, LARGEST_SEED, LARGEST_THREADS, shorten

SEED = (0, LARGEST_SEED)
"""Bounds of a random seed."""
COUNT = (1, LARGEST_COUNT)
"""Bounds of a number of things to be done."""
LIMIT = (1, 10**9)
"""Bounds of a number of samples to be taken."""
BATCH = (1, LARGEST_BATCH)
"""Bounds of a number of images in one pass."""
SHARE = (0, 1)
"""Bounds of a share or a probability."""
TEXTURE_SIDE, BLOCK_SIDE = (16, 4096), (8, 1024)
"""Bounds of the sides in pixels of a texture and of the blocks that it is made of."""
CANDIDATES = (2, 1000)
"""Bounds of a number of things to choose from."""
WORKERS = (1, LARGEST_THREADS)
"""Bounds of a number of threads or processes."""


DEVICES = ("cpu", "cuda", "mps", "xpu")
"""Kinds of devices that torch brings; a plug-in of torch may bring another."""
_DEVICE = re.compile(r"([a-z][a-z0-9_]*)(?::[0-9]{1,3})?")


def check_device(name: str, *further: str) -> str:
    """Refuse a name that no device can have, without torch.

    Args:
        name: `auto`, or a kind with or without a number, such as `cuda:1`.
        further: kinds beside those that torch brings.

    Raises:
        ModelError: there is no such kind.
    """
    found, kinds = _DEVICE.fullmatch(name), dict.fromkeys([*DEVICES, *further])
    if name != "auto" and (found is None or found[1] not in kinds):
        raise ModelError(
            f"device {shorten(name)} is not one of auto, {', '.join(kinds)}, or a numbered one like cuda:1"
        )
    return name


DETECTORS = ("msp", "max-logit", "energy", "knn", "vim", "mahalanobis")
"""Detectors that are fitted where none is named."""


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """A parameter as the command line shows it: `Annotated[int, Option("Random seed.", "S", SEED)]`.

    Args:
        help: its description.
        metavar: placeholder for its value in the help; None for a flag.
        bounds: smallest and largest value of a number; None for any.
        flags: how it is written, such as `--db` or `--blind/--open`; default `--` and the parameter's name.
        panel: heading of the help under which it stands.
        word: a text that may stand for the number, and the value that it means.
        read: converts or refuses the text.
        complete: completions of a text that was begun.
        default: of an entry of `Options`; that of a parameter is its own.
    """

    help: str
    metavar: str | None = None
    bounds: tuple[float, float] | None = None
    flags: str = ""
    panel: str | None = None
    word: tuple[str, int | str] | None = None
    read: Callable[[str], Any] | None = None
    complete: Callable[[str], list[str]] | None = None
    default: Any = None


class Argument(Option):
    """A parameter that the command line takes by its place instead of by a name."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, eq=False)
class OutputFile(Option):
    """A file that a command writes. One that is there is replaced with `--overwrite` alone.

    Args:
        suffixes: of further files that are written beside it under the same name.
    """

    suffixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class UpdatedFile(Option):
    """A file that a command brings up to date: a new or an empty one, or one of the same kind.

    Args:
        kind: its name in messages, such as `a Markdown file`.
        begins: bytes that every file of the kind begins with; empty where its name decides.
        endings: of the names of files of the kind; empty for any.
        stream: whether `-` stands for standard error.
    """

    kind: str = ""
    begins: bytes = b""
    endings: tuple[str, ...] = ()
    stream: bool = False


MARKDOWN = (".md", ".markdown")
"""Endings of the names of Markdown files."""
SQLITE = b"SQLite format 3\0"
"""First bytes of every database of SQLite."""
LOG = b'{"time": "'
"""First bytes of every log of a server's requests."""


@dataclass(frozen=True, slots=True, eq=False)
class OutputFolder(Option):
    """A folder that a command writes: new, empty, or of the same kind.

    Args:
        records: paths in the folder, one of which is there when it is of the same kind.
    """

    records: tuple[str, ...] = ()


OVERWRITE = Option("Replace an existing file.")
"""An option of every command that has an `OutputFile`."""
RUN_RECORDS = ("run.json", "run.lock", "robust/run.json", "robust/run.lock")
"""In the folder of a run by a plan, or of the pair of runs of both embedded networks."""
TRAINING_RECORDS = ("harden.json", "model.json", "run.lock")
"""In the folder of a training run."""
MERGE_RECORDS = (*RUN_RECORDS, "merge.json")
"""In the folder of a merged run; `merge.json` until it is whole."""
EXPLAIN_RECORDS = ("explain.json", "run.lock")
"""In the folder of a run of `explain`."""
EVALUATE_RECORDS = ("evaluate.json", "run.lock")
"""In the folder of a run of `evaluate`."""
LABEL_RECORDS = ("labels.json", "run.lock")
"""In the folder of a search for wrong labels."""
LABEL_VERSION_RECORDS = ("label-versions.json",)
"""In the folder of a comparison of labels before and after a review."""
PAPER_RECORDS = ("paper.json", "run.lock")
"""In the folder of a row of the papers."""
TREND_RECORDS = ("runs.json",)
"""In the folder of a trend of the papers."""
DETECTOR_RECORDS = ("detectors.json",)
"""In the folder of fitted detectors."""
SCALING_RECORDS = ("scaling.json", "run.lock")
"""In the folder of scaling curves."""
TEXTURE_RECORDS = ("texture.json", "run.lock")
"""In the folder of a texture made of a photo."""
COMPARE_RECORDS = ("compare.json",)
"""In the folder of a comparison of runs."""
BOARD_RECORDS = ("board.json",)
"""In the folder of a board of models."""
NORM_RECORDS = ("norms.json",)
"""In the folder of figures laid out as a file on a model asks for them."""


class Options(TypedDict, total=False):
    """Keyword arguments of every function that makes a run, and options of its command.

    In Python `save_examples=-1` keeps all examples. Attacks on a random model average the gradients of `eot` passes,
    and an example then counts when it fools most of as many fresh passes. The batch is halved when memory runs out.
    """

    limit: Annotated[
        int | None, Option("Maximum number of samples (a stratified random subset).", "N", LIMIT, panel="Run")
    ]
    seed: Annotated[int, Option("Random seed of the run.", "S", SEED, panel="Run", default=0)]
    out: Annotated[
        str | Path | None,
        OutputFolder(
            "Run directory or fsspec address. Default: a new folder in runs/ named after model, data and time.", "DIR",
            panel="Run", records=RUN_RECORDS,
        ),
    ]  # fmt: skip
    resume: Annotated[bool, Option("Resume the run in --out.", panel="Run", default=False)]
    on_error: Annotated[
        Literal["record", "stop"],
        Option(
            "On an unreadable sample: record it and continue, or stop.", "record|stop", panel="Run", default="record"
        ),
    ]
    name: Annotated[
        str | None,
        Option("Name of the model in reports and comparisons. Default: its SPEC.", "TEXT", panel="Run"),
    ]
    track: Annotated[
        str | None, Option("Log to MLflow (a folder or tracking URI), to wandb:PROJECT, or to tensorboard:DIR.", "URI")
    ]
    register: Annotated[
        str | None,
        Option(
            "Register the model where --track says; ALIAS moves to this version only if all gates hold.", "NAME@ALIAS",
            panel="Gates",
        ),
    ]  # fmt: skip
    save_examples: Annotated[
        int,
        Option(
            "Number of example images to save per condition, the most damaging first.", "N|all", (0, LARGEST_COUNT),
            word=("all", -1), panel="Run", default=20,
        ),
    ]  # fmt: skip
    slices: Annotated[
        Sequence[str],
        Option(
            "Columns that divide the images: accuracy by slice, e.g. 'brightness,class*size:32+96'; all for every one. "
            "See 'unshaken slices --help'.",
            "COLUMN,COLUMN", panel="Slices", default=(),
        ),
    ]  # fmt: skip
    meta: Annotated[
        str | Path | None,
        Option(
            "Table of further columns with a column 'id': .csv, .jsonl or .parquet.", "FILE", panel="Slices"
        ),
    ]  # fmt: skip
    gates: Annotated[
        Sequence[str],
        Option(
            "Exit with code 1 unless this holds, e.g. 'clean.accuracy >= 0.9'. May be repeated.", "EXPR",
            flags="--gate", panel="Gates", default=(),
        ),
    ]  # fmt: skip
    baseline: Annotated[
        str | Path | None, Option("Run directory to compare with, for the gate no-regression.", "DIR", panel="Gates")
    ]
    device: Annotated[str, Option("Device to run on.", "auto|cpu|cuda|mps", panel="Execution", default="auto")]
    precision: Annotated[
        Literal["fp32", "bf16"],
        Option(
            "Precision of an attack's search; results are always verified in fp32.", "fp32|bf16", panel="Execution",
            default="fp32",
        ),
    ]  # fmt: skip
    eot: Annotated[
        int,
        Option(
            "Number of gradients to average per step, for a model that is random (EoT).", "N", (1, 10_000),
            panel="Execution", default=1,
        ),
    ]  # fmt: skip
    batch_size: Annotated[
        int | Literal["auto"],
        Option(
            "Maximum number of images in one forward pass.", "auto|N", BATCH, word=("auto", "auto"),
            panel="Execution", default="auto",
        ),
    ]  # fmt: skip
    strict_batch: Annotated[
        bool,
        Option(
            "Stop with an error when memory runs out, instead of halving the batch.", panel="Execution", default=False
        ),
    ]
    workers: Annotated[
        int | None,
        Option("Number of threads that decode images. Default: number of cores.", "N", WORKERS, panel="Execution"),
    ]
    engine: Annotated[
        str,
        Option(
            "Execution engine: this process, N processes of this machine, or the workers of a Ray cluster.",
            "local|local:N|ray[:cpus=C,gpus=G]", panel="Execution", default="local",
        ),
    ]  # fmt: skip
    share: Annotated[
        bool,
        Option(
            "Work on the run in --out together with other processes or machines that run the same command.",
            panel="Execution", default=False,
        ),
    ]  # fmt: skip
    part: Annotated[
        str | None,
        Option(
            "Compute the K-th of N parts of the run only, in an --out of its own; 'unshaken merge' joins the parts.",
            "K/N", panel="Execution",
        ),
    ]  # fmt: skip
    allow_large_eps: Annotated[
        bool,
        Option(
            "Allow budgets of more than half of what pixels in [0, 1] can change by, such as an eps of 8.",
            panel="Execution", default=False,
        ),
    ]  # fmt: skip
    download: Annotated[bool, Option("Allow downloading the model and the data from their source.", default=False)]


@functools.cache
def declared(record: type = Options) -> dict[str, tuple[Any, Option]]:
    """The options of a record.

    Args:
        record: a `TypedDict` each entry of which is annotated by an `Option`.

    Returns:
        Name to type and option, in the order of the help.

    >>> declared()["seed"][1].bounds[0]
    0
    """
    hints = typing.get_type_hints(record, include_extras=True)
    return {name: (hint.__origin__, hint.__metadata__[0]) for name, hint in hints.items()}
