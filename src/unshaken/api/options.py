"""Options shared by all functions that make a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import LARGEST_BATCH, LARGEST_COUNT, LARGEST_SEED, LARGEST_THREADS, in_range, shorten
from unshaken.run.engine import read_engine
from unshaken.store.split import parse_part

LONGEST_NAME = 100
"""Characters of a model's name in reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options shared by all functions that make a run.

    Args:
        limit: samples at most, a seeded and stratified subset.
        seed: the run seed.
        out: the run directory, local or any fsspec address; default `runs/` and a name made of model, data and time.
        resume: go on with the run that is there.
        on_error: `record` keeps a bad sample as a row, `stop` ends the run at the first.
        device: `auto`, `cpu`, `cuda`, `mps`.
        eot: passes whose gradients attacks average, above 1 for a model with randomness of its own; an example then
            counts when it fools most of as many fresh passes.
        precision: `fp32`, or `bf16` for the search of attacks; every judgement is float32.
        batch_size: images in one pass at most, or `auto`; halved when memory runs out.
        engine: `local`: this process; `local:4`: four processes of this machine; `ray`: the workers of a Ray cluster
            (extra `ray`).
        share: work on the run of `out` together with other processes and machines that see it, each with the same call:
            a shard is done by one of them.
        part: `K/N` computes the K-th of N parts of the run alone, such as on a machine with a disk of its own;
            `unshaken.merge` joins the directories of all parts.
        gates: such as `clean.accuracy >= 0.9`.
        baseline: a run to compare with.
        save_examples: pictures kept a condition; -1 for all.
        download: allow model and data to be fetched from their own source.
        workers: threads that decode; default the number of cores.
        strict_batch: fail instead of halving the batch size.
        name: of the model in reports and comparisons; default its SPEC or class.
        track: log the finished run to MLflow (a folder or a tracking URI), Weights & Biases (`wandb:PROJECT`) or
            event files (`tensorboard:DIR`).
        register: `NAME@ALIAS` in the registry of models there: a new version, and the alias moves to it only if all
            gates held.
    """

    limit: int | None = None
    seed: int = 0
    out: str | Path | None = None
    resume: bool = False
    on_error: Literal["record", "stop"] = "record"
    device: str = "auto"
    eot: int = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    batch_size: int | Literal["auto"] = "auto"
    engine: str = "local"
    share: bool = False
    part: str | None = None
    gates: Sequence[str] = ()
    baseline: str | Path | None = None
    save_examples: int = 20
    download: bool = False
    workers: int | None = None
    strict_batch: bool = False
    name: str | None = None
    track: str | None = None
    register: str | None = None

    def __post_init__(self) -> None:
        read_engine(self.engine)
        if self.share and self.out is None:
            raise ParameterError("a shared run needs an --out that all processes see")
        if self.share and self.register is not None:
            raise ParameterError(
                f"register {self.register!r}: each process of a shared run would register a version; leave it away, "
                "and register at the end by the same command with --resume and without --share"
            )
        if self.part is not None:
            self._check_part(self.part)
        for name, number, least, most in (
            ("limit", self.limit, 1, LARGEST_SEED),
            ("seed", self.seed, 0, LARGEST_SEED),
            ("batch size", None if self.batch_size == "auto" else self.batch_size, 1, LARGEST_BATCH),
            ("eot", self.eot, 1, 10_000),
            ("number of pictures or maps kept", self.save_examples, -1, LARGEST_COUNT),
            ("workers", self.workers, 1, LARGEST_THREADS),
        ):
            if number is not None:
                in_range(name, number, least, most)
        if self.name is not None and not (0 < len(self.name) <= LONGEST_NAME and self.name.isprintable()):
            raise ParameterError(f"name {shorten(self.name)} must be 1 to {LONGEST_NAME} printable characters")
        for name, value, known in (
            ("on-error", self.on_error, ("record", "stop")),
            ("precision", self.precision, ("fp32", "bf16")),
        ):
            if value not in known:
                raise ParameterError(f"{name} {value!r} is not one of {', '.join(known)}")

    def _check_part(self, part: str) -> None:
        """Refuse what speaks of the whole run, where only a part is computed."""
        parse_part(part)
        for name, value in (
            ("gate", self.gates), ("baseline", self.baseline), ("track", self.track), ("register", self.register),
        ):  # fmt: skip
            if value:
                last = "give it to unshaken merge" if name in ("gate", "baseline") else "leave it away"
                raise ParameterError(f"{name} is for a whole run, and part {part} computes only a part of one: {last}")


class RunOptions(TypedDict, total=False):
    """`Options` as keywords, for the type checker; a test compares the two."""

    limit: int | None
    seed: int
    out: str | Path | None
    resume: bool
    on_error: Literal["record", "stop"]
    device: str
    eot: int
    precision: Literal["fp32", "bf16"]
    batch_size: int | Literal["auto"]
    engine: str
    share: bool
    part: str | None
    gates: Sequence[str]
    baseline: str | Path | None
    save_examples: int
    download: bool
    workers: int | None
    strict_batch: bool
    name: str | None
    track: str | None
    register: str | None
