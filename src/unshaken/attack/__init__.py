"""Searches for a worst case inside a budget. They ask the model; see `unshaken.core.driver`."""

from unshaken.core.package import open_room

open_room(__name__)
