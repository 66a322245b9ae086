"""Whether the process that wrote a stamp still lives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unshaken.store.owner import hold, is_running, make_stamp, read_stamp

WRITER = """
import sys, time
from unshaken.store.lock import make_stamp
sys.stdout.buffer.write(make_stamp("theirs") + b"\\n")
sys.stdout.flush()
time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Linux alone tells of processes there")
def test_a_killed_process_that_nobody_waited_for_lives_no_more():
    with subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE) as writer:
        try:
            owner = read_stamp(writer.stdout.readline())
            assert owner["pid"] == writer.pid
            assert is_running(owner)
            assert not is_running({**owner, "started": owner["started"] - 1})  # another process with its number
        finally:
            writer.kill()
        os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays as it is: a zombie
        os.kill(writer.pid, 0)
        assert not is_running(owner)


def test_of_this_process_only_what_it_holds_counts():
    owner = read_stamp(make_stamp("token of this test"))
    assert not is_running(owner)
    hold("token of this test")
    assert is_running(owner)
