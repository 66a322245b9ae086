"""The task `classification`: one class an image. It is the usual one."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.flag import Flag
from unshaken.core.oracle import Oracle
from unshaken.core.outcomes import outcomes
from unshaken.core.part import Condition, Part
from unshaken.core.trust import check_trust
from unshaken.tasks.task import Task, task


@task("classification")
class Classification(Task):
    """One class an image, from logits `[N, K]`."""

    @override
    def rows(self, condition: Condition, batch: Batch, outputs: Tensor, /, **columns: Any) -> list[Part]:
        return [outcomes(condition, batch, outputs, **columns)]

    @override
    def flags(self, oracle: Oracle, batch: Batch, outputs: Tensor) -> list[Flag]:
        return check_trust(oracle, batch, outputs)


CLASSIFICATION = Classification()
