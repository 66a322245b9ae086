"""Plan, execute, resume: from a configuration to rows in a run directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unshaken.core.imports import attribute_of

if TYPE_CHECKING:
    from unshaken.core.context import Context
    from unshaken.core.flag import Flag
    from unshaken.core.part import Condition, Part
    from unshaken.run.local import Interrupted, execute
    from unshaken.run.plan import PLANS, load_plan
    from unshaken.run.shard import Job, run_shard
    from unshaken.store.config import Entry, RunConfig, read_config
    from unshaken.store.run_dir import RunDir

__all__ = [
    "PLANS",
    "Condition",
    "Context",
    "Entry",
    "Flag",
    "Interrupted",
    "Job",
    "Part",
    "RunConfig",
    "RunDir",
    "execute",
    "load_plan",
    "read_config",
    "run_shard",
]

_HOMES = {
    "PLANS": "unshaken.run.plan",
    "Condition": "unshaken.core.part",
    "Context": "unshaken.core.context",
    "Entry": "unshaken.store.config",
    "Flag": "unshaken.core.flag",
    "Interrupted": "unshaken.run.local",
    "Job": "unshaken.run.shard",
    "Part": "unshaken.core.part",
    "RunConfig": "unshaken.store.config",
    "RunDir": "unshaken.store.run_dir",
    "execute": "unshaken.run.local",
    "load_plan": "unshaken.run.plan",
    "read_config": "unshaken.store.config",
    "run_shard": "unshaken.run.shard",
}


def __getattr__(name: str) -> Any:
    return attribute_of(__name__, name, _HOMES)
