"""Plan, execute, resume: from a configuration to rows in a run directory."""

from unshaken.run.config import RunConfig, read_config
from unshaken.run.local import Interrupted, execute
from unshaken.run.plan import PLANS, Entry, load_plan
from unshaken.run.rows import Condition, Context, Flag, Part
from unshaken.run.shard import Job, run_shard
from unshaken.run.store import RunDir

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
