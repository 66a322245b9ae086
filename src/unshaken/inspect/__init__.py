"""Checks of the health of a data set: copies, images that show little, labels that a property gives away."""

from unshaken.core.package import open_room

open_room(__name__)
