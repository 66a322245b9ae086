"""Pages and figures from rows: summary, report, comparison, gates."""

from unshaken.core.package import open_package

open_package(__name__)
