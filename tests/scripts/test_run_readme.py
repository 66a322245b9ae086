"""The runner of a page's commands, on pages whose outcome is plain."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "run_readme.py"

CLEAN, FLAGGED = '{"flags": []}', '{"flags": [{"name": "few-samples", "detail": "3"}]}'


@pytest.mark.parametrize(
    ("page", "code"),
    [
        ("```sh runnable\nexport A=1\ntest $A = 1 && touch made\n```\n\n```sh runnable\nls made\n```\n", 0),
        ("```sh\nexit 1\n```\n\n```sh runnable\ntrue\n```\n", 0),
        ("```sh runnable\nfalse | true\n```\n", 1),
        ("```sh runnable\ncat absent\ntrue\n```\n", 1),
        ("```sh\ntrue\n```\n", 1),
        (f"```sh runnable\nmkdir run; echo '{CLEAN}' > run/summary.json\n```\n", 0),
        (f"```sh runnable\nmkdir run; echo '{FLAGGED}' > run/summary.json\n```\n", 1),
        (f"```sh runnable\necho '{{\"result\": {FLAGGED}}}' > harden.json\n```\n", 1),
    ],
    ids=[
        "share a folder",
        "unmarked is left",
        "pipe fails",
        "first line fails",
        "none marked",
        "no flag",
        "a run is flagged",
        "a training is flagged",
    ],
)
def test_readme_runner(page, code, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(page, encoding="utf-8")
    done = subprocess.run([sys.executable, SCRIPT, readme], capture_output=True, check=False)
    assert done.returncode == code
