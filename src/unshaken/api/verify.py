"""`verify_submission`: a random share of a submission's rows, computed again and compared."""

from __future__ import annotations

import secrets
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from torch import nn

from unshaken.api.job import prepare_run
from unshaken.api.options import check_options
from unshaken.core.consent import of_arguments, refuse_code
from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.core.package import public
from unshaken.data import DataSource
from unshaken.report.verification import Verification, check_rows, draw_ids, machine_differences
from unshaken.run import execute
from unshaken.store.config import RunConfig, read_config
from unshaken.store.protocol import protocol_of
from unshaken.store.run_dir import RunDir
from unshaken.store.submission import unpack_run
from unshaken.tasks.classification import CLASSIFICATION


@public()
@of_arguments
def verify_submission(
    submission: str | Path,
    model: str | nn.Module | None = None,
    data: DataSource | None = None,
    *,
    share: float = 0.05,
    seed: int | None = None,
    batch_size: int | Literal["auto"] = "auto",
    device: str = "auto",
    download: bool = False,
) -> Verification:
    """Compute a random share of a submission's samples again, and compare all their rows.

    Args:
        submission: its file.
        model: the one that it is of, as for `audit`; None for the SPEC that stands in it, whose code runs only where it
            is allowed.
        data: the images that it was made on, as for `audit`; None for the SPEC that stands in it.
        share: of the samples, in (0, 1].
        seed: of the draw; None for one that nobody knew before. A sender who knows it can leave the drawn rows alone.
        batch_size: as in `Options`; so are the following.
        device: where to compute.
        download: allow downloading model and data.

    Raises:
        RunError: it is no submission or a changed one, or it was made with another model, on other data or by another
            protocol than these give.
        ParameterError: the share or an option is wrong, or model or data must be given, for the submission was made
            with an object.
        ModelError: the submission names code that was not allowed.
    """
    with tempfile.TemporaryDirectory() as folder:
        there, here = RunDir(f"{folder}/there"), RunDir(f"{folder}/here")
        try:
            unpack_run(Path(submission), Path(str(there)))
        except (RunError, DataError) as error:
            raise type(error)(str(error).replace(f"{there}: ", "")) from None
        theirs = read_config(there)
        model = _named(submission, "model", theirs.model) if model is None else model
        data = _named(submission, "data", theirs.data) if data is None else data
        seed = secrets.randbelow(2**31) if seed is None else seed
        drawn = draw_ids(list(theirs.ids), share, seed)
        options = check_options(
            out=str(here), seed=theirs.seed, eot=theirs.eot, precision=theirs.precision, limit=theirs.limit,
            save_examples=0, batch_size=batch_size, device=device, download=download, allow_large_eps=True,
        )  # fmt: skip
        whole = prepare_run(here, model, data, list(theirs.plan), options, [], "custom")
        _check_same(submission, theirs, whole.config)
        config = whole.config.model_copy(update={"ids": drawn})
        execute(replace(whole, config=config, whole=whole, remake=None))
        machine = machine_differences(theirs, config)
        checks, differing = check_rows(there, here, config, same_machine=not machine)
        return Verification(
            submission=str(submission), model=theirs.model_name, protocol=protocol_of(theirs).digest,
            samples=len(theirs.ids), drawn=len(drawn), seed=seed, machine=machine, checks=checks,
            differing=differing,
        )  # fmt: skip


def _named(submission: str | Path, what: str, spec: str) -> str:
    """The SPEC of model or data that a submission names.

    Raises:
        ParameterError: it was made with an object.
        ModelError: it names code that was not allowed in this call.
    """
    if spec.startswith("<") or not spec:
        raise ParameterError(f"{submission}: its {what} was an object in Python ({spec}): give --{what}, or {what}=")
    refuse_code(spec, str(submission))
    return spec


def _check_same(submission: Any, theirs: RunConfig, ours: RunConfig) -> None:
    """Refuse model and data that are not those of the submission.

    Raises:
        RunError: with what differs.
    """
    if ours.task != CLASSIFICATION.name:
        raise RunError(f"{submission}: it is a run of {ours.task}, and only rows of classification can be verified")
    if differences := protocol_of(theirs).differences(protocol_of(ours)):
        raise RunError(
            f"{submission}: it was made by another protocol than this data gives ({', '.join(differences)} differ): "
            f"give the data that it was made on, there called {theirs.data!r}"
        )
    if theirs.model_fingerprint != ours.model_fingerprint:
        raise RunError(
            f"{submission}: it is of a model with the fingerprint {theirs.model_fingerprint[:12]}, and this one has "
            f"{ours.model_fingerprint[:12]}: give the model that it was made with, there called {theirs.model!r}"
        )
