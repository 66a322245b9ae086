"""Why a model decides as it does: maps of the pixels that count, and what such a map is worth."""

from unshaken.core.package import open_room

open_room(__name__)
