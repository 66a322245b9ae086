"""`sink_of`: the tracking service of an address."""

from __future__ import annotations

from unshaken.core.errors import ParameterError
from unshaken.store.tracking.event_files import EventFiles
from unshaken.store.tracking.mlflow_run import MlflowRun
from unshaken.store.tracking.sink import Sink
from unshaken.store.tracking.wandb_run import WandbRun

_OTHERS: dict[str, type[EventFiles] | type[WandbRun]] = {"tensorboard": EventFiles, "wandb": WandbRun}


def sink_of(track: str | None) -> Sink | None:
    """The sink of an address: a folder or a URI of MLflow, `wandb:[ENTITY/]PROJECT`, or `tensorboard:DIR`.

    Returns:
        None for None.

    Raises:
        MissingExtra: its package is absent.
        ParameterError: the address is not understood.
    """
    if track is None:
        return None
    kind, _, target = track.partition(":")
    if not track.strip() or (kind in _OTHERS and not target.strip()):
        raise ParameterError(
            f"track {track!r} names no place: give a folder or a URI of MLflow, wandb:PROJECT, or tensorboard:DIR"
        )
    return _OTHERS[kind](target) if kind in _OTHERS else MlflowRun(track)
