"""`provenance`: the versions, the commit and the machine of this process."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy
import torch

from unshaken.core.version import __version__

PACKAGE = Path(__file__).resolve().parents[1]


def provenance() -> dict[str, Any]:
    """Versions and machine of this process.

    Returns:
        `unshaken`, `python`, `torch`, `numpy`, `platform`, `machine`, `processor` with the vector instructions that
        torch uses, `threads`; and `commit` where it is known, with `-dirty` at its end where files differ from it.
    """
    commit = _commit()
    return {
        "unshaken": __version__,
        **({"commit": commit} if commit else {}),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}",
        "threads": torch.get_num_threads(),
    }


@cache
def _commit() -> str:
    """The commit of this code: of its checkout, or the one that pip installed it from; empty where neither is known."""
    return commit_of(PACKAGE) or _installed_commit()


def commit_of(package: Path) -> str:
    """The commit of the checkout that a package lies in as `src/NAME`; empty where it lies in none, or git is absent.

    A package installed below another project's checkout, such as in its virtual environment, is not of that checkout.
    """
    top = package.parents[1]
    if package.parent.name != "src" or not (top / ".git").exists():
        return ""
    asked = ["git", "-C", str(top), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        described = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return described.stdout.strip()


def _installed_commit() -> str:
    """The commit that `pip install git+...` wrote down."""
    try:
        written = importlib.metadata.distribution("unshaken").read_text("direct_url.json")
        return str(json.loads(written or "{}").get("vcs_info", {}).get("commit_id", ""))
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return ""


@cache
def _processor() -> str:
    """The processor's name: Linux keeps it where `platform.processor` does not look."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
