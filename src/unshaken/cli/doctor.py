"""`unshaken doctor`."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, requires, version
from typing import TYPE_CHECKING, Annotated

from unshaken.cli.options import Json
from unshaken.cli.session import Session, progress
from unshaken.cli.show import console, one_line, print_json, print_line, table
from unshaken.cli.verb import verb
from unshaken.core.options import Option

if TYPE_CHECKING:
    from unshaken.api.self_check import RoomCheck

SELF_CHECK_FAILED = 1
NOT_FOR_USERS = {"all", "test", "docs"}
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)[^;]*(?:;.*extra\s*==\s*[\"']([^\"']+)[\"'])?")


@verb(name="doctor")
def doctor(
    session: Session,
    device: Annotated[
        str | None,
        Option(
            "Device to check, such as cuda:1. Default: the CPU and every accelerator that is found.",
            "auto|cpu|cuda|mps",
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Show versions, devices and optional packages, and check every room on every device, eight seconds each.

    A room does a little work with the embedded networks and images, whose figures must be plausible and, but for
    rounding, those of the CPU.

    Exit codes: 0 success, 1 a check failed, 2 wrong usage or bad input.
    """
    from unshaken.core.device import find_device

    if device is not None:
        find_device(device)  # refused before anything is shown, and before a second of further imports
    from unshaken.api.self_check import self_check

    if not (json or session.quiet):
        _show_machine()
    with progress(session):
        checks = self_check(device)
    held = not any(check.held is False for check in checks)
    if json:
        found = {"held": held, "checks": [asdict(check) for check in checks]}
        print_json({"versions": versions(), "devices": devices(), "extras": extras(), "self_check": found})
    else:
        if not session.quiet:
            words = {True: "held", False: "FAILED", None: "not checked"}
            rows = [[c.device, c.room, words[c.held], f"{c.seconds:.1f}", one_line(c.detail)] for c in checks]
            console().print(table(["device", "room", "outcome", "seconds", "detail"], rows, right=[3]))
            console().print()
        print_line(_conclusion(checks))
    return 0 if held else SELF_CHECK_FAILED


def _show_machine() -> None:
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


def _conclusion(checks: list[RoomCheck]) -> str:
    """The outcome of all checks, and what was not tried, in a line."""
    failed, absent = (
        ", ".join(f"{check.room} on {check.device}" for check in checks if check.held is held) for held in (False, None)
    )
    outcome = f"FAILED ({failed})" if failed else "held"
    passed, seconds = sum(check.held is True for check in checks), sum(check.seconds for check in checks)
    devices = ", ".join(dict.fromkeys(check.device for check in checks))
    rooms = ", ".join(dict.fromkeys(check.room for check in checks))
    return (
        f"self-check {outcome}: {passed} of {len(checks)} checks passed in {seconds:.1f} s on {devices}"
        f"{f', not checked: {absent}' if absent else ''}; rooms: {rooms}; one or two methods of each were tried, "
        "of tasks few-shot classification alone"
    )


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
    """The devices of this machine by name."""
    import torch

    from unshaken.api.self_check import find_devices

    found = {}
    for name in find_devices():
        if name == "cpu":
            found[name] = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads of torch"
        elif name.startswith("cuda:"):
            memory = torch.cuda.get_device_properties(name).total_memory / 2**30
            found[name] = f"{torch.cuda.get_device_name(name)}, {memory:.0f} GiB"
        else:
            found[name] = "there"
    return found


def extras() -> list[dict[str, str | None]]:
    """Each package of an extra with its version, None where it is absent."""
    return [
        {"extra": extra, "package": name, "version": _version(name)}
        for name, extra in _requirements()
        if extra and extra not in NOT_FOR_USERS
    ]


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
