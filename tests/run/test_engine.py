"""The text of an engine, and what it may not say."""

from __future__ import annotations

import pytest

import unshaken
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


def test_ray_chooses_the_gpu_of_each_worker_and_a_numbered_one_is_refused():
    with pytest.raises(ParameterError, match=r"device cuda:1 .* use --device cuda; CUDA_VISIBLE_DEVICES=1"):
        read_engine("ray", "cuda:1")
    for device in ("auto", "cpu", "cuda", "cuda:0"):
        assert read_engine("ray", device) == Engine("ray")
    assert read_engine("local:2", "cuda:1") == Engine(processes=2)  # both share that one


def test_verbs_refuse_a_numbered_gpu_with_ray_before_anything_is_read():
    for call in (
        lambda: unshaken.audit("absent:model", "absent:data", device="cuda:1", engine="ray:gpus=0.5"),
        lambda: unshaken.explain("absent:model", "absent:data", "gradcam", device="cuda:1", engine="ray"),
        lambda: unshaken.find_labels("absent:data", device="cuda:1", engine="ray"),
    ):
        with pytest.raises(ParameterError, match="use --device cuda"):
            call()
