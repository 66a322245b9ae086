"""What holds of every registered search for fooling images."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from unshaken.attack.fooling.base import FoolingSearch
from unshaken.attack.fooling.results import fooling_rows
from unshaken.core import Classifier, Oracle, list_methods
from unshaken.core.errors import ParameterError
from unshaken.core.part import Condition
from unshaken.store.tables import schema_of, table_of

METHODS = [m for m in list_methods("attack") if issubclass(m.cls, FoolingSearch)]
SHAPES = [(1, 8, 8), (3, 8, 12)]


def every(test):
    return pytest.mark.parametrize("method", METHODS, ids=[m.name for m in METHODS])(test)


class Linear(nn.Module):
    """A convolution's means and a linear layer, with fixed weights; any size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.stem, self.head = nn.Conv2d(channels, 6, 3, padding=1), nn.Linear(6, 3)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stem(x).relu().mean((2, 3)))


def oracle(channels: int = 1) -> Oracle:
    return Oracle(Classifier(Linear(channels), name="linear").eval())


def test_there_are_some():
    assert {"ascent", "direct", "cppn"} <= {m.name for m in METHODS}


@every
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_are_kept_as_they_were_judged(method, shape):
    counted = oracle(shape[0])
    found = method.cls().find(counted, (2, 0), shape, generations=6, population=8, seed=3)
    assert found.images.shape == (2, *shape)
    assert found.images.dtype == torch.uint8
    with torch.no_grad():
        seen = counted.model(found.images.float() / 255).double().softmax(1)[[0, 1], [2, 0]]
    assert torch.allclose(found.odds.sigmoid(), seen, atol=1e-6)
    assert 0 <= int(found.found.min()) <= int(found.found.max()) <= 6
    assert counted.meter.forwards > 0
    assert not counted.model.training


@every
def test_more_time_does_not_make_it_worse_and_the_seed_decides(method):
    def run(generations, seed):
        return method.cls().find(oracle(), (0, 1, 2), (1, 8, 8), generations=generations, population=8, seed=seed)

    short, long, again, other = run(2, 5), run(25, 5), run(25, 5), run(25, 6)
    assert bool((long.odds >= short.odds - 1e-6).all())
    assert float(long.odds.sum()) > float(short.odds.sum())
    assert torch.equal(long.images, again.images)
    assert not torch.equal(long.images, other.images)


@every
def test_rows_are_whole_and_certainty_is_flagged(method):
    found = method.cls().find(oracle(), (2, 0), (1, 8, 8), generations=2, population=4)
    for odds, flags in ((torch.tensor([9.0, -1.0]), [("class-0002",)]), (torch.tensor([0.0, 1.0]), [])):
        part = fooling_rows(Condition(method.name, method.name), replace(found, odds=odds), (2, 0), ["a", "b", "c"])
        table = table_of(part)
        assert table.schema.equals(schema_of("fooling"))
        assert table["id"].to_pylist() == ["class-0002", "class-0000"]
        assert table["name"].to_pylist() == ["c", "a"]
        assert table["confidence"].to_pylist() == torch.sigmoid(odds.double()).tolist()
        assert [f.ids for f in part.flags] == flags


@every
def test_what_cannot_be_is_refused_before_a_model_is_asked(method):
    with pytest.raises(ParameterError, match="=0: Input should be greater than 0"):
        method.cls().check(0, 2)
    counted = oracle()
    with pytest.raises(ParameterError, match="class 3 does not exist"):
        method.cls().find(counted, (3,), (1, 8, 8), generations=2, population=4)
