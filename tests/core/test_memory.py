"""Telling the allocator to keep freed memory: by hand in a fresh process, where it can be seen."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
if sys.argv[1] == "keep":
    from unshaken.core.memory import keep_freed_memory
    print(keep_freed_memory())
torch.set_num_threads(1)
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def work():
    parts = [torch.ones(3_000_000) for _ in range(4)]
for _ in range(3):
    work()
before = faults()
for _ in range(10):
    work()
print(faults() - before)
"""


def told(how: str, **env: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], env={**os.environ, **env}, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps its own ways")
def test_freed_pages_are_not_fetched_again():
    said, kept = told("keep")
    (lost,) = told("leave")
    assert said == "True"
    assert int(kept) * 10 < int(lost)


def test_the_variable_leaves_the_allocator_alone():
    assert told("keep", UNSHAKEN_KEEP_MEMORY="0")[0] == "False"
