"""Changes to an image that never ask the model: corruptions, translation and their kin."""

from unshaken.core.package import open_room

open_room(__name__)
