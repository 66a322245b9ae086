"""Training of robust models: recipes for one loop, weight surgery, and inference-time defences."""

from unshaken.core.package import open_room

open_room(__name__)
