"""`Paper`: a published claim, and the rule that decides whether the small experiment reproduced it."""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from unshaken.core.registry import Parameters

if TYPE_CHECKING:  # a paper is listed without torch
    from unshaken.papers.frame.context import Context
    from unshaken.papers.frame.rows import Rows


@dataclass(frozen=True, slots=True)
class Check:
    """One part of a rule, applied to the figures.

    Args:
        words: the condition, with the numbers met.
        holds: whether it holds.
    """

    words: str
    holds: bool


class Paper(Parameters):
    """A claim with its experiment; its fields are the experiment's parameters.

    Class attributes: `title` of the publication; `claim`, one sentence; `rule`, how the verdict follows from the
    figures; `expected`, published or derived figures under the names of `figures`; `data` and `model`, the default
    SPECs; `tables`, the row's own tables (see `unshaken.papers.frame.tables`).
    """

    room: ClassVar[str] = "papers"
    title: ClassVar[str]
    claim: ClassVar[str]
    rule: ClassVar[str]
    expected: ClassVar[Mapping[str, Any]]
    data: ClassVar[str]
    model: ClassVar[str]
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def run(self, context: Context) -> None:
        """Write the rows that are not there yet; by default `run(paper, context)` of the package's `experiment.py`.

        Raises:
            UnshakenError: data or model is absent; the message says how to get it.
        """
        importlib.import_module(f"{type(self).__module__}.experiment").run(self, context)

    def figures(self, rows: Rows) -> dict[str, Any]:
        """Compute the figures from rows alone; by default `figures(paper, rows)` of the package's `figures.py`.

        Returns:
            Names to figures (`Figure.to_json()`) or plain values, nested as needed.
        """
        found: dict[str, Any] = importlib.import_module(f"{type(self).__module__}.figures").figures(self, rows)
        return found

    @abstractmethod
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        """Apply the parts of the rule to the figures."""

    def remark(self, measured: Mapping[str, Any]) -> str:
        """Say what else a reader must know; resumption and the cache are reported by the frame."""
        return ""


def seeds_in(measured: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The figures of each seed of a row that keeps them under `seed0`, `seed1` and so on.

    >>> seeds_in({"seed0": {"clean": 0.9}, "networks_from_cache": True})
    [('seed0', {'clean': 0.9})]
    """
    return [(name, part) for name, part in measured.items() if name.startswith("seed") and isinstance(part, Mapping)]
