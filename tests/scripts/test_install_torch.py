"""Which build of torch a fresh environment gets: installers, interpreter and GPU are stand-ins."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "install_torch.sh"
OWN = "https://download.pytorch.org/whl/cpu"
GPU = Path("/dev/nvidia0").exists()

# An interpreter without torch unless PRESENT=0, with a network unless REACHED=1; it records how pip was called.
PYTHON = """#!/bin/sh
case "$*" in
  "-m pip"*) echo "pip $*" >> calls ;;
  *importlib.metadata*) exit "${PRESENT:-1}" ;;
  *urllib*) echo "look $3" >> calls; exit "${REACHED:-0}" ;;
esac
"""


@pytest.fixture
def install(tmp_path):
    def program(name, text):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    program("python", PYTHON)
    program("uv", '#!/bin/sh\necho "uv $*" >> calls\n')

    def call(*, gpu=False, uv=False, system="Linux", **values):
        program("nvidia-smi", f"#!/bin/sh\nexit {0 if gpu else 6}\n")
        program("uname", f"#!/bin/sh\necho {system}\n")
        (tmp_path / "calls").unlink(missing_ok=True)
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", **({} if uv else {"UV": ""}), **values}
        done = subprocess.run(
            ["sh", SCRIPT, "./python"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        calls = tmp_path / "calls"
        return done.returncode, calls.read_text().splitlines() if calls.exists() else [], done.stderr

    return call


LOOK = f"look {OWN}"
PIP = "pip -m pip install --disable-pip-version-check --index-url {} --quiet --no-deps torch torchvision"
UV = "uv pip install --python ./python --index {} --quiet --no-deps torch torchvision"


@pytest.mark.parametrize(
    ("values", "calls", "line"),
    [
        ({"TORCH": "cpu"}, [LOOK, PIP.format(OWN)], f"the build of {OWN}"),
        ({"TORCH": "cpu", "uv": True}, [LOOK, UV.format(OWN)], f"the build of {OWN}"),
        ({"TORCH": "cpu", "gpu": True}, [LOOK, PIP.format(OWN)], f"the build of {OWN}"),
        ({"TORCH": "cpu", "REACHED": "1"}, [LOOK], f"{OWN} cannot be reached: the package index's build"),
        ({"gpu": True}, [], "the package index's build"),
        ({"gpu": True, "TORCH": "", "uv": True}, [], "the package index's build"),
        ({"TORCH": "cuda"}, [], "the package index's build"),
        ({"system": "Darwin"}, [], "the package index's build"),
        ({"TORCH": "https://x/rocm"}, [PIP.format("https://x/rocm")], "the build of https://x/rocm"),
        ({"TORCH": "https://x/rocm", "uv": True}, [UV.format("https://x/rocm")], "the build of https://x/rocm"),
        ({"PRESENT": "0"}, [], "installed already, left as it is"),
        ({"PRESENT": "0", "TORCH": "cpu"}, [], "installed already, left as it is"),
    ],
)
def test_the_build_is_that_of_the_machine(values, calls, line, install):
    code, made, told = install(**values)
    assert (code, made, told.count("\n")) == (0, calls, 1)
    assert line in told


def test_none_leaves_it_to_what_follows(install):
    assert install(TORCH="none") == (0, [], "")


@pytest.mark.skipif(GPU, reason="this machine has a GPU")
def test_without_a_gpu_the_build_is_for_the_cpu(install):
    assert install()[1] == install(TORCH="cpu")[1] == install(TORCH="")[1]


def test_another_word_is_refused(install):
    code, calls, told = install(TORCH="gpu")
    assert (code, calls) == (2, [])
    assert told == "torch: TORCH=gpu is none of auto, cpu, cuda, none and an index's URL\n"


def test_the_look_tells_an_index_from_none(tmp_path):
    (look,) = re.findall(r"^look='\n(.*?)^'$", SCRIPT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "torch").mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever).start()
        here = f"http://127.0.0.1:{server.server_port}"
        codes = [
            subprocess.run([sys.executable, "-c", look, url], check=False).returncode for url in (here, f"{here}/a")
        ]
        server.shutdown()
    codes.append(subprocess.run([sys.executable, "-c", look, here], check=False).returncode)
    assert codes == [0, 1, 1]  # there, another server's answer, no server
