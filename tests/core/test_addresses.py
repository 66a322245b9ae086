"""Passwords in addresses reach no page, no JSON, no message and no terminal."""

from __future__ import annotations

import pytest

from unshaken.cli import main
from unshaken.core.errors import UnshakenError
from unshaken.store.address import open_address
from unshaken.store.run_dir import RunDir

SECRET = "s3cr3t"


def address(name):
    """A run in this process's memory, with a user and a password in its address."""
    return f"memory://ann:{SECRET}@host/{name}"


def test_a_run_is_shown_without_its_password_and_opened_with_it():
    run = RunDir(address("shown"))
    run.write(b"x", "file")
    assert str(run) == "memory://host/shown"
    assert SECRET in run.path
    assert RunDir(run.path).read("file") == b"x"


@pytest.mark.parametrize(
    "fail",
    [
        lambda: RunDir(address("no")).read("absent"),
        lambda: RunDir(address("no")).read_tensors("absent"),
        lambda: open_address(f"nothing://ann:{SECRET}@host/x"),
        lambda: open_address(f"https://ann:{SECRET}@host/\n"),
        lambda: open_address(f"a::s3://ann:{SECRET}@host/"),
        lambda: RunDir(f"https://ann:{SECRET}@host/x").write(b"", "y"),
    ],
)
def test_no_message_has_a_password(fail):
    with pytest.raises(UnshakenError) as caught:
        fail()
    assert SECRET not in str(caught.value)
    assert "host" in str(caught.value)


def test_the_command_line_says_no_password(capsys):
    absent = address("absent")
    for command in (
        ["report", absent], ["compare", absent, absent], ["query", absent, "select 1"], ["harden", "--from", absent],
        ["detect", "score", "--model", "demo", "--data", "demo", "--detectors", absent],
        ["audit", "--model", "demo", "--data", f"wds:https://ann:{SECRET}@host/absent"],
    ):  # fmt: skip
        assert main(command) == 2
        printed = capsys.readouterr()
        assert "host/absent" in printed.err
        assert SECRET not in printed.out + printed.err
