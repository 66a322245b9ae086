"""The oracle-bounded attack: a toy on one pixel that is known by hand, and what each part of it promises."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from unshaken.attack.engine.adam import Adam
from unshaken.attack.semantic._oracle_search import OracleRecord
from unshaken.attack.semantic.oracle_bounded import OracleBound
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.context import Context
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.part import CLEAN
from unshaken.measure import fmr
from unshaken.run.adapters import Line, conditions_of, rows_of
from unshaken.store.tables import table_of

ORACLES = '''
import torch
from torch import nn

class Above(nn.Module):
    """Class 0 where the mean pixel is above a bound, else class 1 (of K)."""

    def __init__(self, bound, classes=2):
        super().__init__()
        self.bound, self.classes = bound, classes

    def forward(self, x):
        m = 20 * (x.flatten(1).mean(1) - self.bound)
        return torch.stack([m, -m, *[m * 0 - 99] * (self.classes - 2)], 1)

def above_0(): return Above(0.001)
def above_3(): return Above(0.3)
def above_4(): return Above(0.4)
def above_all(): return Above(1.1)
def always(): return Above(-1.0)
def four(): return Above(0.001, 4)
def nan(): return Above(float("nan"))

class Root(Above):
    """As `Above`, with a gradient of NaN where the mean pixel is 1."""

    def forward(self, x):
        return super().forward(x) + 0 * (1 - x.flatten(1).mean(1)[:, None]).sqrt()

def root(): return Root(0.3)
def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(9, 2))
'''


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    file = tmp_path_factory.mktemp("oracles") / "oracles.py"
    file.write_text(ORACLES)
    return lambda *names: "+".join(f"py:{file}:{name}" for name in names)


class Theta(nn.Module):
    """Class 0 (positive) where the mean pixel is above 0.3."""

    def forward(self, x):
        m = 5 * (x.flatten(1).mean(1) - 0.3)
        return torch.stack([m, -m], 1)


THETA = Classifier(Theta(), name="theta").eval()
DOWN = {"rule": "sign", "step_size": 0.25 * 255, "tv": 0}
"""A quarter down in each step: one pixel has no deviation, and steps are measured in 1/255."""


def pixel(*values):
    images = torch.tensor(values).view(-1, 1, 1, 1)
    return Batch(images, torch.zeros(len(values), dtype=torch.int64), tuple(f"s{i}" for i in range(len(values))))


def attacked(attack, batch, net=THETA):
    (found,), flags = attack.attack(Oracle(net), batch, seed=1)
    return found, [f.name for f in flags]


def stop_of(found):
    return ["budget", "oracle", "start", "not-finite"][int(found.notes["stop"][0])]


@pytest.mark.parametrize(
    ("oracle", "steps", "end", "accepted", "stop", "wrong"),
    [
        ("above_0", 10, 0.25, 3, "oracle", True),
        ("above_4", 10, 0.5, 2, "oracle", False),
        ("above_0", 2, 0.5, 2, "budget", False),
        ("above_4", 2, 0.5, 2, "budget", False),
        ("above_0", 0, 1.0, 0, "budget", False),
        ("above_all", 10, 1.0, 0, "start", False),
        ("always", 10, 0.0, 10, "budget", True),
        ("above_3", 10, 0.5, 2, "oracle", False),
    ],
)
def test_the_toy_by_hand(spec, oracle, steps, end, accepted, stop, wrong):
    found, flags = attacked(OracleBound(oracle=spec(oracle), steps=steps, **DOWN), pixel(1.0))
    assert float(found.images) == pytest.approx(end, abs=0.51 / 255)
    assert (int(found.notes["accepted"]), stop_of(found), bool(found.fooled)) == (accepted, stop, wrong)
    assert flags == (["unfit-oracle"] if stop == "start" else [])


def test_no_oracle_is_the_unconstrained_search_and_says_so(spec):
    free, flags = attacked(OracleBound(steps=10, **DOWN), pixel(1.0))
    void, none = attacked(OracleBound(oracle=spec("always"), steps=10, **DOWN), pixel(1.0))
    assert torch.equal(free.images, void.images)
    assert (flags, none) == (["no-oracle"], [])


def test_early_ends_at_the_first_image_that_fools(spec):
    batch = pixel(1.0)
    late, _ = attacked(OracleBound(oracle=spec("always"), steps=10, **DOWN), batch)
    early, _ = attacked(OracleBound(oracle=spec("always"), steps=10, early=True, **DOWN), batch)
    assert (int(early.notes["accepted"]), int(late.notes["accepted"])) == (3, 10)
    assert int(early.forwards) < int(late.forwards)


def test_an_oracle_that_is_the_model_keeps_all_that_is_right(make, spec):
    """Lossless start and no accepted image that the model gets wrong: FMR is 1."""
    values = torch.linspace(0.05, 1, 12).tolist()
    found, _ = attacked(OracleBound(oracle=spec("above_3"), **DOWN), pixel(*values))
    clean = torch.tensor(values) > 0.3
    assert torch.equal(~found.fooled, clean)


def test_a_stricter_committee_never_goes_further(spec):
    batch = pixel(0.6, 0.8, 0.9, 1.0)
    one, two = (
        attacked(OracleBound(oracle=spec(*names), vote="unanimous", rule="sign", step_size=10, tv=0), batch)[0]
        for names in (["above_0"], ["above_0", "above_4"])
    )
    assert bool((two.notes["accepted"] <= one.notes["accepted"]).all())
    assert bool((two.fooled <= one.fooled).all())
    assert two.notes["accepted"].tolist() != one.notes["accepted"].tolist()


def test_more_steps_never_lose_less_and_leave_validation_as_it_is(spec):
    batch = pixel(0.5, 0.7, 0.9, 1.0)
    wrong = [
        int(
            attacked(OracleBound(oracle=spec("above_0"), steps=b, rule="sign", step_size=10, tv=0), batch)[
                0
            ].fooled.sum()
        )
        for b in (0, 4, 8, 20)
    ]
    assert wrong == sorted(wrong)
    assert (wrong[0], wrong[-1]) == (0, 4)


def test_no_step_size_leaves_the_reconstruction(spec):
    batch = pixel(0.504, 0.9)
    found, _ = attacked(OracleBound(oracle=spec("above_0"), steps=3, step_size=0, tv=0), batch)
    assert torch.equal(found.images, (batch.images * 255).round() / 255)
    assert found.notes["accepted"].tolist() == [3, 3]


def test_what_is_stored_is_what_the_oracle_saw(make, spec):
    """Searches that the oracle ended: it sees the class in every stored image, which has 256 levels."""
    images = torch.rand(6, 1, 3, 3, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.4
    batch = Batch(images, torch.zeros(6, dtype=torch.int64), tuple("abcdef"))
    found, _ = attacked(OracleBound(oracle=spec("above_4"), steps=40, step_size=0.3, tv=0), batch)
    assert (found.notes["stop"] == 1).any()
    levels = found.images * 255
    assert torch.allclose(levels, levels.round(), atol=1e-4)
    stored = levels.round().byte()
    assert bool((stored.float() / 255 > 0.4).flatten(1).any(1).all())
    assert bool(((stored.float() / 255).flatten(1).mean(1) > 0.4).all())
    assert 0 not in found.survives_8bit.tolist()


def test_rows_say_what_the_oracles_said(spec):
    attack = OracleBound(oracle=spec("above_0"), held_out=spec("above_4"), steps=10, **DOWN)
    batch, oracle = pixel(1.0, 0.9, 0.2, 0.0), Oracle(THETA)
    clean = oracle.exact(batch.images)
    (condition,) = conditions_of(attack, Line("oracle-bounded"))
    parts = rows_of(attack, batch, [condition], Context(oracle, 1, clean, lambda: batch))
    own = table_of(next(p for p in parts if p.table == "oracle_bounded")).to_pydict()
    rows = table_of(next(p for p in parts if p.table == "outcomes")).to_pydict()
    assert own["validated"] == [True, True, True, False]
    assert own["accepted"] == [3, 3, 0, 0]
    assert own["stop"] == ["oracle", "oracle", "misclassified", "misclassified"]
    assert own["held_out_clean"] == [True, True, False, False]
    assert own["held_out"] == [False] * 4
    assert own["oracle_forwards"] == [5, 5, 1, 1]  # the start and four steps, the fourth of which was refused
    assert oracle.meter.forwards == 4 + sum(rows["forwards"]) + sum(own["oracle_forwards"]) + 2 * 4 + 4
    found = fmr((clean.argmax(1) == 0).numpy(), rows["correct"], own["validated"], own["accepted"])
    assert (found.standard.value, found.fmr.value) == (2 / 3, 0)
    assert CLEAN.id not in own["condition"]


def test_reasons_in_words():
    yes, no = torch.tensor([True] * 5), torch.tensor([False] * 5)
    stop = torch.tensor([0, 1, 2, 3, -1])
    record = OracleRecord(yes, stop >= 0, stop, stop, yes, False, stop, None, None, stop.double())
    assert record.reasons() == ["budget", "oracle", "start", "not-finite", "misclassified"]
    assert replace(record, early=True).reasons()[:2] == ["fooled", "oracle"]
    assert replace(record, early=True, fooled=no).reasons()[0] == "budget"


def test_attacking_the_oracle_too_takes_other_steps(make, tmp_path):
    """The oracle decides by the upper half alone, which the model does not look at: only together it is changed."""
    (tmp_path / "half.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Half(nn.Module):\n"
        "    def forward(self, x):\n"
        "        m = 4 * (x[..., :2, :].flatten(1).mean(1) - 0.2)\n"
        "        return torch.stack([m, -m], 1)\n"
        "def make(): return Half()\n"
    )
    net = make.affine(torch.cat([torch.zeros(1, 2, 4), torch.ones(1, 2, 4)], 1), -2.0)
    batch = Batch(torch.full((1, 1, 4, 4), 0.6), torch.zeros(1, dtype=torch.int64), ("a",))
    upper = []
    for weight in (0, 1):
        attack = OracleBound(
            oracle=f"py:{tmp_path}/half.py:make", steps=3, rule="sign", step_size=5, tv=0, together=weight
        )
        found, _ = attacked(attack, batch, net)
        upper.append(float((found.images - batch.images)[..., :2, :].abs().max()))
    assert upper[0] < 1 / 255 < upper[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"oracle": "four"}, "has 4 classes, the model 2: give map=FILE"),
        ({"oracle": "small"}, "cannot take images of 1x1x1"),
        ({"together": 1.0}, "name an oracle"),
        ({"generator": ""}, "use one of pixels, transform"),
        ({"latent_mask": "lasso"}, "two classes or more"),
    ],
)
def test_what_does_not_fit_is_told_before_the_search(spec, options, message):
    options = {k: spec(v) if k == "oracle" else v for k, v in options.items()}
    with pytest.raises(ParameterError, match=message):
        OracleBound(**options).attack(Oracle(THETA), pixel(1.0))


def test_a_generator_that_is_no_file_is_told():
    with pytest.raises(ModelError, match=r"no-such\.safetensors"):
        OracleBound(generator="no-such.safetensors").attack(Oracle(THETA), pixel(1.0))


def test_an_oracle_of_nan_sees_nothing(spec):
    found, flags = attacked(OracleBound(oracle=spec("nan"), **DOWN), pixel(1.0))
    assert (stop_of(found), flags) == ("start", ["unfit-oracle"])


def test_an_oracle_whose_gradient_is_nan_ends_a_search_that_follows_it(spec):
    found, _ = attacked(OracleBound(oracle=spec("root"), steps=3, tv=0, together=1.0), pixel(1.0))
    assert (stop_of(found), found.images.tolist()) == ("not-finite", pixel(1.0).images.tolist())
    assert stop_of(attacked(OracleBound(oracle=spec("root"), steps=1, tv=0), pixel(1.0))[0]) == "budget"


def test_a_gradient_of_nan_everywhere_leads_nowhere_and_is_told():
    class Broken(Theta):
        def forward(self, x):
            return super().forward(x) + (x.flatten(1).mean(1)[:, None] - 1).sqrt() * 0

    found, flags = attacked(OracleBound(steps=3, tv=0), pixel(1.0), Classifier(Broken()).eval())
    assert (stop_of(found), found.images.tolist()) == ("budget", pixel(1.0).images.tolist())
    assert "zero-gradient" in flags


def test_targets_are_refused(spec):
    with pytest.raises(ParameterError, match="reaches no chosen class: omit targets"):
        OracleBound().attack(Oracle(THETA), pixel(1.0), targets=torch.tensor([1]))


def test_a_class_map_adds_up_what_belongs_together(spec, tmp_path):
    (tmp_path / "map.txt").write_text("0\n1\n1\n-1\n")
    attack = OracleBound(oracle=spec("four"), map=str(tmp_path / "map.txt"), steps=10, **DOWN)
    assert float(attacked(attack, pixel(1.0))[0].images) == pytest.approx(0.25, abs=0.51 / 255)
    for text, message in (("0\n1\n", "has 2 lines"), ("0\n7\n1\n1\n", "map"), ("-1\n" * 4, "names no class")):
        (tmp_path / "map.txt").write_text(text)
        with pytest.raises(ParameterError, match=message):
            attack.attack(Oracle(THETA), pixel(1.0))


def test_the_rules_of_a_step():
    """Adam's direction, signs, or the slope over its root mean square."""
    slope = torch.tensor([[3.0, -4.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    adam, count = Adam.of(slope).add(slope), torch.ones(2, dtype=torch.int64)
    found = {rule: OracleBound(rule=rule)._direction(slope, adam, count) for rule in ("adam", "sign", "normalised")}
    assert found["sign"].tolist() == [[1, -1, 0, 0], [0, 0, 0, 0]]
    assert found["normalised"][0].tolist() == pytest.approx([3 / 2.5, -4 / 2.5, 0, 0])
    assert found["normalised"][1].tolist() == [0, 0, 0, 0]
    assert found["adam"][0].tolist() == pytest.approx([1, -1, 0, 0], abs=1e-5)
    assert OracleBound(steps=7).cost(10) == (7, 7)
