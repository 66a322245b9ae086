"""What shakes a vision model, how badly, what can be ruled out, and how to make it hold.

>>> import unshaken
>>> result = unshaken.audit("demo:standard", "demo", [{"method": "fog", "severities": [3]}], limit=20,
...                         out=getfixture("tmp_path") / "run")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unshaken import attack, certify, detect, harden
    from unshaken.api import Audit, audit, compare, corrupt
    from unshaken.core.errors import UnshakenError
    from unshaken.core.registry import list_methods
    from unshaken.data import load_data
    from unshaken.models import load_model

try:
    __version__ = version("unshaken")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"

__all__ = [
    "Audit",
    "UnshakenError",
    "__version__",
    "attack",
    "audit",
    "certify",
    "compare",
    "corrupt",
    "detect",
    "harden",
    "list_methods",
    "load_data",
    "load_model",
]

_HOMES = {
    "Audit": "unshaken.api",
    "UnshakenError": "unshaken.core.errors",
    "attack": "unshaken.attack",
    "audit": "unshaken.api",
    "certify": "unshaken.certify",
    "compare": "unshaken.api",
    "corrupt": "unshaken.api",
    "detect": "unshaken.detect",
    "harden": "unshaken.harden",
    "list_methods": "unshaken.core.registry",
    "load_data": "unshaken.data",
    "load_model": "unshaken.models",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import unshaken` is quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'unshaken' has no attribute {name!r}")
    module = importlib.import_module(_HOMES[name])
    return module if _HOMES[name] == f"unshaken.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return list(__all__)
