"""Telling the allocator to keep freed memory: by hand in a fresh process, where it can be seen."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from unshaken.core.device import keep_freed_memory

FAULTS = """
import resource, torch
from unshaken.core.device import keep_freed_memory
torch.set_num_threads(1)
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def work():
    parts = [torch.ones(3_000_000) for _ in range(4)]
def faults_of_work():
    for _ in range(3):
        work()
    before = faults()
    for _ in range(10):
        work()
    return faults() - before
print(faults_of_work(), keep_freed_memory(), faults_of_work())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps its own ways")
def test_freed_pages_are_not_fetched_again():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    lost, returned, kept = done.stdout.split()
    assert returned == "True"
    assert int(kept) * 10 < int(lost)


def test_the_variable_leaves_the_allocator_alone(monkeypatch):
    monkeypatch.setenv("UNSHAKEN_KEEP_MEMORY", "0")
    assert keep_freed_memory.__wrapped__() is False
