"""What the server of `tests.processes` imports once: all methods, and whatever a run needs until its report."""

import scipy.stats  # noqa: F401

import unshaken.cli.app
import unshaken.harden.engine._processes
import unshaken.harden.engine.loop
import unshaken.report.write
from unshaken.core import list_methods
from unshaken.data import load_data
from unshaken.models import load_model

list_methods()
load_data("demo")
load_model("demo:standard")
unshaken.harden.engine._processes.Processes()
