"""The public functions, those of one subject in a file; the command line calls the same functions."""

from unshaken.core.package import open_package

open_package(__name__)
