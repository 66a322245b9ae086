# /// script
# requires-python = ">=3.11"
# dependencies = ["towncrier>=24.8"]
# ///
"""Cuts a release, and checks that its tag and the files that name a version agree.

uv run scripts/release.py cut 0.2.0      # writes the version into FILES, and a dated section into the changelog
python scripts/release.py check v0.2.0   # the tag is the version of all files, and the changelog has its section
python scripts/release.py notes v0.2.0   # prints that section

`cut` alone needs towncrier, which makes the section from the files in `changes`: `uv run` and `pipx run` install it for
this script; else `pip install towncrier`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = {
    "pyproject.toml": r'^version = "(.+)"$',
    "CITATION.cff": r"^version: (.+)$",
    "ci/conda/recipe.yaml": r'^  version: "(.+)"$',
}
"""What states the version, and in which line; `unshaken.__version__` and the documentation ask the installation."""

UNRELEASED = "## [Unreleased]\n"


def versions(root: Path) -> dict[str, str]:
    """The version that each file states; `absent` where it states none."""
    found = {name: re.search(line, read(root / name), re.MULTILINE) for name, line in FILES.items()}
    return {name: match[1] if match else "absent" for name, match in found.items()}


def section(changelog: str, version: str) -> str:
    """What the changelog says of a version, without its head; empty where it has no dated section."""
    head = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n"
    match = re.search(rf"{head}(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    return match[1].strip() if match else ""


def fragments(root: Path) -> list[Path]:
    """Files in `changes` from which the section of the next version is made."""
    return sorted(path for path in (root / "changes").iterdir() if path.name != "README.md")


def bad_fragments(root: Path) -> list[str]:
    """Names of fragments that are empty, or not called `+SUBJECT.TYPE.md` with a type of pyproject.toml."""
    types = tomllib.loads(read(root / "pyproject.toml"))["tool"]["towncrier"]["fragment"]
    name = re.compile(rf"\+[a-z0-9-]+\.({'|'.join(types)})\.md")
    return [path.name for path in fragments(root) if not name.fullmatch(path.name) or not read(path).strip()]


def render_fragments(root: Path, version: str, date: str) -> str:
    """What towncrier makes from the fragments: the section of a version, without its head."""
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", version, "--date", date]
    utf8 = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run(command, cwd=root, env=utf8, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise RuntimeError(f"towncrier made no section of changes: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout.partition("\n")[2]


def cut(root: Path, version: str, date: str) -> str | None:
    """Make the unreleased changes those of a version; what is wrong, if that cannot be."""
    if not re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}((a|b|rc)\d+)?", version):
        return f"the version {version!r} is not three numbers such as 0.2.0, or 0.2.0rc1"
    changelog = read(root / "CHANGELOG.md")
    before, found, after = changelog.partition(UNRELEASED)
    written, *older = re.split(r"^(?=## )", after, maxsplit=1, flags=re.MULTILINE)
    if not found or not (written.strip() or fragments(root)):
        return "CHANGELOG.md has nothing under [Unreleased], and changes has no fragment"
    if f"\n## [{version}]" in changelog:
        return f"CHANGELOG.md has a section of {version} already"
    if bad := bad_fragments(root):
        return f"changes holds {bad[0]}, which is empty or not called +SUBJECT.TYPE.md: see changes/README.md"
    if silent := [name for name, stated in versions(root).items() if stated == "absent"]:
        return f"no line with a version in {', '.join(silent)}"
    try:
        made = render_fragments(root, version, date) if fragments(root) else ""
    except RuntimeError as error:
        return str(error)
    for name, line in FILES.items():
        text = read(root / name)
        match = re.search(line, text, re.MULTILINE)
        write(root / name, text[: match.start(1)] + version + text[match.end(1) :])
    citation = re.sub(r"^date-released: .*\n", "", read(root / "CITATION.cff"), flags=re.MULTILINE)
    dated = re.sub(r"^(version: .*\n)", rf"\1date-released: {date}\n", citation, flags=re.MULTILINE)
    write(root / "CITATION.cff", dated)
    parts = [f"{before}{UNRELEASED}", f"## [{version}] - {date}", written, made, *older]
    write(root / "CHANGELOG.md", "\n\n".join(part.strip() for part in parts if part.strip()) + "\n")
    for fragment in fragments(root):
        fragment.unlink()
    return None


def check(root: Path, tag: str) -> str | None:
    """What keeps a tag from being released, if anything does."""
    wrong = [f"{name} says {stated}" for name, stated in versions(root).items() if f"v{stated}" != tag]
    if wrong:
        return f"the tag is {tag!r}: {', '.join(wrong)}"
    if not section(read(root / "CHANGELOG.md"), tag.removeprefix("v")):
        return f"CHANGELOG.md has no dated section of {tag.removeprefix('v')}: run scripts/release.py cut"
    if left := fragments(root):
        return f"changes holds {left[0].name}, which no section of CHANGELOG.md has: run scripts/release.py cut"
    return None


def read(path: Path) -> str:
    """The text of a file."""
    return path.read_text(encoding="utf-8")


def write(path: Path, text: str) -> None:
    """Write a file with the same ends of lines on every system."""
    path.write_text(text, encoding="utf-8", newline="\n")


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Run a command; 1 with one line on stderr where it cannot be done."""
    match arguments:
        case ["cut", version]:
            wrong = cut(root, version, datetime.now(UTC).date().isoformat())
        case ["check", tag]:
            wrong = check(root, tag)
        case ["notes", tag]:
            notes = section(read(root / "CHANGELOG.md"), tag.removeprefix("v"))
            wrong = None if notes else f"CHANGELOG.md has no dated section of {tag.removeprefix('v')}"
            print(notes)
        case _:
            wrong = "usage: scripts/release.py cut VERSION | check TAG | notes TAG"
    if wrong:
        print(wrong, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
