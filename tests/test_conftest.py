"""The rule that a skip is a failure in continuous integration."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).with_name("conftest.py").read_text(encoding="utf-8")


def pytest_in(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on a folder with this suite's conftest."""
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    known = {k: v for k, v in os.environ.items() if not k.startswith(("UNSHAKEN_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", "."],
        cwd=folder,
        env={**known, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


SKIPS = {
    "inside": "import pytest\ndef test_it():\n    pytest.skip('no browser')\n",
    "mark": "import pytest\n@pytest.mark.skip(reason='no browser')\ndef test_it():\n    pass\n",
    "module": "import pytest\npytest.importorskip('no_such_module')\ndef test_it():\n    pass\n",
}


def test_a_skip_fails_in_ci_only(tmp_path):
    for kind, text in SKIPS.items():
        (tmp_path / f"test_{kind}.py").write_text(text, encoding="utf-8")
    usual = pytest_in(tmp_path)
    assert (usual.returncode, "3 skipped" in usual.stdout) == (0, True)
    strict = pytest_in(tmp_path, UNSHAKEN_NO_SKIPS="1")
    assert strict.returncode == 1
    assert "1 failed, 2 errors" in strict.stdout
    assert strict.stdout.count("UNSHAKEN_NO_SKIPS=1 allows no skip") >= 3


def test_expected_failures_and_absent_hardware_pass_in_ci(tmp_path):
    (tmp_path / "test_skips.py").write_text(
        "import pytest\n"
        "@pytest.mark.xfail\ndef test_xfail():\n    raise ValueError\n"
        "@pytest.mark.skipif(True, reason='no CUDA device')\ndef test_cuda():\n    pass\n",
        encoding="utf-8",
    )
    done = pytest_in(tmp_path, UNSHAKEN_NO_SKIPS="1")
    assert done.returncode == 0
    assert "1 skipped, 1 xfailed" in done.stdout
