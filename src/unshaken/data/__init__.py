"""Data sets of any kind: ids and labels at once, pixels on demand, bad samples as records."""

from unshaken.core.package import open_package

open_package(__name__)
