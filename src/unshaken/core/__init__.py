"""The few types of the package, the registry, the driver, errors, progress and randomness."""

from unshaken.core.package import open_package

open_package(__name__)
