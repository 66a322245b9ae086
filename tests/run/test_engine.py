"""The text of an engine, and what it may not say."""

from __future__ import annotations

import pytest

from unshaken.core.errors import ParameterError
from unshaken.run import engine
from unshaken.run.engine import Engine, read_engine


@pytest.fixture(autouse=True)
def ray_is_there(monkeypatch):
    monkeypatch.setattr(engine, "load_ray", lambda: None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("local", Engine()),
        ("local:4", Engine(processes=4)),
        ("ray", Engine("ray")),
        ("ray:cpus=2,gpus=0.5", Engine("ray", cpus=2, gpus=0.5)),
        ("ray:gpus=0", Engine("ray", gpus=0)),
        ("ray:cpus=1/2", Engine("ray", cpus=0.5)),
    ],
)
def test_an_engine_is_read(text, found):
    assert read_engine(text) == found
    assert read_engine(str(found)) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("slurm", "not one of local, local:N with N from 1 to 1,024, ray, ray:cpus=C,gpus=G"),
        ("local:cpus=2", "not one of local"),
        ("ray:4", "'4' is not of the form key=value"),
        ("ray:", "is not of the form key=value"),
        ("ray:cpu=4", "has no 'cpu'; did you mean 'cpus'"),
        ("ray:cpus=0", "cpus is 0, but must be a whole number up to 1,024, or a share of one from 0.0001"),
        ("ray:gpus=1.5", "gpus is 1.5, but must be a whole number"),
        ("ray:gpus=-1", "gpus is -1"),
        ("ray:gpus=half", "is not a number"),
        ("ray:cpus=2,cpus=2", "'cpus' is given twice"),
    ],
)
def test_a_wrong_engine_is_refused_in_a_line(text, words):
    with pytest.raises(ParameterError, match=words):
        read_engine(text)
