"""`unshaken doctor`."""

from __future__ import annotations

import os
import platform
import re
import tempfile
import time
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

from unshaken.cli.options.shared import Json
from unshaken.cli.show import console, one_line, print_json, print_line, table
from unshaken.cli.verb import verb

SELF_CHECK_FAILED = 1
NOT_FOR_USERS = {"all", "test", "docs"}
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)[^;]*(?:;.*extra\s*==\s*[\"']([^\"']+)[\"'])?")


@verb
def doctor(json: Json = False) -> int:
    """Show versions, devices and optional packages, and run a short self-check (exit code 1 if it fails)."""
    check = self_check()
    if json:
        print_json({"versions": versions(), "devices": devices(), "extras": extras(), "self_check": check})
    else:
        _show(check)
    return 0 if check["held"] else SELF_CHECK_FAILED


def _show(check: dict[str, Any]) -> None:
    out = console()
    for title, facts in (("versions", versions()), ("devices", devices())):
        out.print(table([title, ""], facts.items()))
        out.print()
    rows = []
    for one in extras():
        install = "" if one["version"] else f"pip install 'unshaken[{one['extra']}]'"
        rows.append([one["extra"], one["package"], one["version"] or "absent", install])
    out.print(table(["extra", "package", "version", "to install"], rows))
    out.print()
    outcome = "held" if check["held"] else "FAILED"
    print_line(one_line(f"self-check {outcome} in {check['seconds']:.1f} s: {check['detail']}"))


def versions() -> dict[str, str]:
    """Python, platform, and each package that unshaken cannot do without."""
    packages = {name: _version(name) or "absent" for name, extra in _requirements() if not extra}
    return {
        "unshaken": _version("unshaken") or "not installed",
        "python": platform.python_version(),
        "platform": platform.platform(),
        **packages,
    }


def devices() -> dict[str, str]:
    """The devices of this machine."""
    import torch

    found = {"cpu": f"{os.cpu_count()} cores, {torch.get_num_threads()} threads of torch"}
    for i in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(i).total_memory / 2**30
        found[f"cuda:{i}"] = f"{torch.cuda.get_device_name(i)}, {memory:.0f} GiB"
    if torch.backends.mps.is_available():
        found["mps"] = "there"
    return found


def extras() -> list[dict[str, str | None]]:
    """Each package of an extra with its version, None where it is absent."""
    return [
        {"extra": extra, "package": name, "version": _version(name)}
        for name, extra in _requirements()
        if extra and extra not in NOT_FOR_USERS
    ]


def self_check() -> dict[str, Any]:
    """A tiny audit: does the demo network still read clean images, and does an attack still fool it."""
    from unshaken.api import audit
    from unshaken.core.progress import listening

    began = time.perf_counter()
    plan = [{"method": "fog", "severities": [1]}, {"method": "fgsm", "eps": ["8/255"]}]
    try:
        with tempfile.TemporaryDirectory(prefix="unshaken-") as folder, listening(None):
            summary = audit("demo:standard", "demo", plan, limit=40, save_examples=0, out=f"{folder}/run").summary
        clean = summary["clean"]["value"]
        attacked = summary["conditions"][-1]["accuracy"]["value"]
        held = summary["complete"] and clean > 0.6 and attacked < clean
        detail = f"demo network: {clean:.0%} of 40 images right, {attacked:.0%} under fgsm at 8/255"
    except Exception as error:  # what is broken here is what the user wants to know
        held, detail = False, f"{type(error).__name__}: {error}"
    return {"held": held, "detail": detail, "seconds": time.perf_counter() - began}


def _requirements() -> list[tuple[str, str | None]]:
    """Name and extra of each requirement of the installed package."""
    try:
        lines = requires("unshaken") or []
    except PackageNotFoundError:
        return []
    matches = [m for line in lines if (m := _REQUIREMENT.match(line))]
    return [(m[1], m[2]) for m in matches if m[1] != "unshaken"]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
