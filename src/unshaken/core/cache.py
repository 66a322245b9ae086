"""`cache_dir`: the folder of what is computed once and kept for later runs."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """The folder of trained networks and features: `$UNSHAKEN_CACHE`, else the user's cache folder."""
    own = os.environ.get("UNSHAKEN_CACHE")
    return Path(own).expanduser() if own else Path(platformdirs.user_cache_dir("unshaken"))
