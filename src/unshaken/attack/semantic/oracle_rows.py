"""Rows of what oracles said of each image, and the flags that go with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from unshaken.core.flag import FlagKind
from unshaken.core.part import Condition, Part
from unshaken.core.tables import declare_table

TABLE = "oracle_bounded"
STOPS = ("budget", "oracle", "start", "not-finite")
"""Why a search ended: all steps were made; the oracle refused a step, or the very start; a value was no number."""
BUDGET, REFUSED, START, NOT_FINITE = range(len(STOPS))
FOOLED, WRONG = "fooled", "misclassified"
"""The same: the model was fooled, where that ends a search; the unchanged image was misclassified, so none was made."""
COLUMNS = declare_table(
    "oracle_bounded",
    "id string, condition string, method string, validated bool, accepted int64, stop string, held_out bool, "
    "held_out_clean bool, oracle_forwards int64, seconds double",
)
VOID = FlagKind(
    "no-oracle",
    "the search was not bounded by an oracle, so nothing says that its images still show their class",
    "Do not read the accuracy as robustness. Name an oracle (oracle=SPEC) of the same classes that is better than the "
    "model.",
)
UNFIT_ORACLE = FlagKind(
    "unfit-oracle",
    "the oracle sees the class in none of the first images, so that no image was perturbed",
    "Look at the order of its classes (map=FILE), its prompts and its input size, and at what the generator makes of "
    "unchanged images.",
)


@dataclass(frozen=True, slots=True, eq=False)
class OracleRecord:
    """What oracles said of each image.

    Args:
        validated: bool `[N]`: the oracle sees the class in the reconstruction.
        searched: bool `[N]`: false where the unchanged image is misclassified.
        accepted: int64 `[N]`, steps that it approved of.
        stop: int64 `[N]`, places in `STOPS`; anything where not searched.
        fooled: bool `[N]`.
        early: whether the first success ended a search.
        passes: int64 `[N]`, of the oracles in the search.
        held_out: bool `[N]`: what other oracles say of the last image; None without such.
        held_out_clean: as `held_out`, of the unchanged image.
        seconds: float64 `[N]`.
    """

    validated: Tensor
    searched: Tensor
    accepted: Tensor
    stop: Tensor
    fooled: Tensor
    early: bool
    passes: Tensor
    held_out: Tensor | None
    held_out_clean: Tensor | None
    seconds: Tensor

    def reasons(self) -> list[str]:
        """Why each search ended, in words."""
        found = []
        columns = zip(self.searched.tolist(), self.stop.tolist(), self.fooled.tolist(), strict=True)
        for searched, stop, fooled in columns:
            name = STOPS[stop] if searched else WRONG
            found.append(FOOLED if self.early and fooled and name == STOPS[0] else name)
        return found


def oracle_rows(condition: Condition, ids: Sequence[str], record: OracleRecord) -> Part:
    """The rows of one condition.

    Args:
        condition: where they belong.
        ids: of the samples.
        record: of them, in their order.
    """
    columns = {
        "id": list(ids),
        "validated": record.validated.tolist(),
        "accepted": record.accepted.tolist(),
        "stop": record.reasons(),
        "oracle_forwards": record.passes.tolist(),
        "seconds": record.seconds.tolist(),
    }
    for name in ("held_out", "held_out_clean"):
        if (said := getattr(record, name)) is not None:
            columns[name] = said.tolist()
    return Part(TABLE, condition, columns)
