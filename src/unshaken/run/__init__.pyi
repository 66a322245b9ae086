"""Plan, execute, resume: from a configuration to rows in a run directory."""

from unshaken.core.context import Context as Context
from unshaken.core.flag import Flag as Flag
from unshaken.core.part import Condition as Condition
from unshaken.core.part import Part as Part
from unshaken.run.local import Interrupted as Interrupted
from unshaken.run.local import execute as execute
from unshaken.run.plan import PLANS as PLANS
from unshaken.run.plan import load_plan as load_plan
from unshaken.run.shard import Job as Job
from unshaken.run.shard import run_shard as run_shard
from unshaken.store.config import Entry as Entry
from unshaken.store.config import RunConfig as RunConfig
from unshaken.store.config import read_config as read_config
from unshaken.store.run_dir import RunDir as RunDir
