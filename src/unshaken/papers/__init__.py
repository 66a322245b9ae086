"""Published claims as small experiments, each with a rule for its verdict that was written before the run."""

from unshaken.core.package import open_package

open_package(__name__)
