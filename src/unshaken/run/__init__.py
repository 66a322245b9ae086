"""Plan, execute, resume: from a configuration to rows in a run directory."""

from unshaken.core.package import open_package

open_package(__name__)
