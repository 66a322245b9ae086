"""Classes from few examples, on features of a network that is not trained any more."""

from unshaken.core.package import open_package

open_package(__name__)
