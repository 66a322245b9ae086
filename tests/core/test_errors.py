"""Errors: how they travel, which mean that memory ran out, and names near an unknown one."""

from __future__ import annotations

import pickle

import pytest

from unshaken.core.errors import DataError, MissingExtra, did_you_mean, is_out_of_memory


def test_errors_travel_between_processes():
    for error in (DataError("no file"), MissingExtra("timm", "models", "model 'timm:x'")):
        back = pickle.loads(pickle.dumps(error))
        assert type(back) is type(error)
        assert (str(back), back.args) == (str(error), error.args)
    assert "model 'timm:x' needs the package 'timm', which is absent: pip install 'unshaken[models]'" in str(back)


class OutOfMemoryError(Exception):
    """As accelerators call theirs."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OutOfMemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried"), True),
        (RuntimeError("CUDA out of memory."), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), True),
        (RuntimeError("shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_memory_that_ran_out(error, expected):
    assert is_out_of_memory(error) is expected


def test_near_names_come_first():
    assert did_you_mean("pdg", ["fgsm", "pgd"]) == "did you mean 'pgd'?"
    assert did_you_mean("abcd", ["abcx", "abcy", "zzz", "abcz", "abcw"]).count(" or ") == 2
    assert did_you_mean("zzzz", ["b", "a"]) == "known: a, b"
    assert did_you_mean("zzzz", []) == "known: none"
    assert did_you_mean("abcde", ["abcxy"]) == "did you mean 'abcxy'?"  # 6 of 10 letters agree: just near enough
    assert did_you_mean("abcde", ["abxyz"]) == "known: abxyz"
