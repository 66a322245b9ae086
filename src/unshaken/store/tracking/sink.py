"""`Sink`: what a tracking service is asked to do; one file beside this one for each service."""

from __future__ import annotations

import re
import socket
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unshaken.core.errors import ParameterError
from unshaken.store.address import bare

EXPERIMENT = "unshaken"
"""The experiment of MLflow, unless MLFLOW_EXPERIMENT_NAME says otherwise."""


class Sink(ABC):
    """A service that logs runs.

    Args:
        address: of the place, absolute; kept without user and password.
    """

    failures: tuple[type[Exception], ...] = (OSError,)
    """What it raises when it cannot be reached."""

    def __init__(self, address: str) -> None:
        self.address = bare(address)

    def check(self) -> None:  # noqa: B027 - a service without a cheap question is asked nothing
        """Ask for an answer, so that a wrong place is known before hours are spent; where that is cheap."""

    @abstractmethod
    def begin(self, name: str, run: str, parameters: Mapping[str, str]) -> str:
        """Begin a run, or continue one.

        Args:
            name: of the run, for people.
            run: its id there; empty for a new one.
            parameters: logged once, when it is new.

        Returns:
            Its id.
        """

    @abstractmethod
    def log_metrics(self, step: int, figures: Mapping[str, float]) -> None:
        """Log figures of a step; of a training run an epoch, counted from 1."""

    @abstractmethod
    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Log texts."""

    @abstractmethod
    def close(self, status: str) -> None:
        """End the run: `FINISHED`, `FAILED` or `KILLED`."""

    def log_files(self, folder: Path) -> None:  # noqa: B027 - not every service has a store of files
        """Keep all files of a folder with the run; a service without a store of files keeps nothing."""

    def register(self, name: str, folder: Path, alias: str | None) -> str:
        """Register a version of a model.

        Args:
            name: of the model in the registry.
            folder: with the files of this version.
            alias: moved to this version; None to leave every alias where it is.

        Returns:
            The number of the version.

        Raises:
            ParameterError: the service has no registry of models.
        """
        raise ParameterError(f"track {self.address!r} has no registry of models: use MLflow or Weights & Biases")

    @property
    def has_registry(self) -> bool:
        """Whether models can be registered there."""
        return type(self).register is not Sink.register


@dataclass(frozen=True, slots=True)
class Registration:
    """Where a model is registered.

    Args:
        name: in the registry.
        alias: that follows the last version whose gates held.
    """

    name: str
    alias: str

    @classmethod
    def parse(cls, text: str) -> Registration:
        """Read `NAME@ALIAS`.

        >>> Registration.parse("door-camera@champion")
        Registration(name='door-camera', alias='champion')

        Raises:
            ParameterError: it is not of that form.
        """
        found = re.fullmatch(r"([A-Za-z0-9][\w .-]{0,99})@([A-Za-z][\w-]{0,99})", text)
        if found is None or found[2].lower() == "latest" or re.fullmatch(r"[vV]\d+", found[2]):
            raise ParameterError(
                f"register {text!r} is not of the form NAME@ALIAS, such as door-camera@champion (letters, digits, "
                "'_' and '-'; an alias is neither 'latest' nor a number of a version)"
            )
        return cls(found[1], found[2])


def reason(error: BaseException) -> str:
    """The reason of a failure in one line, without a password."""
    first = error
    while (cause := first.__cause__ or first.__context__) is not None:
        first = cause
    if isinstance(first, ConnectionError | TimeoutError | socket.gaierror):
        return f"no answer ({first.strerror or type(first).__name__}): start the server, or correct the address"
    message = bare(" ".join(str(error).split()) or type(error).__name__)
    return message if len(message) <= 300 else message[:297] + "..."
