"""The version of this package, as its installation states it."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("unshaken")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"
