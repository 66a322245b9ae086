"""Transfer: searched on the surrogate, judged on the model."""

from __future__ import annotations

import pytest
import torch

from unshaken.attack.black_box.transfer import Transfer
from unshaken.attack.gradient.apgd import APGD
from unshaken.attack.gradient.pgd import PGD
from unshaken.core import Batch, Classifier, Oracle, UnshakenError
from unshaken.core.errors import ParameterError
from unshaken.data import load_data, stream
from unshaken.models import load_model

SURROGATE = """
import torch
from torch import nn

class Line(nn.Module):
    def __init__(self, classes, side):
        super().__init__()
        self.classes, self.side = classes, side

    def forward(self, x):
        m = (x.reshape(len(x), self.side * self.side) - 0.5).sum(1) + 0.8
        return torch.stack([m, *[-m * (k + 1) for k in range(self.classes - 1)]], 1)

def two(): return Line(2, 4)
def three(): return Line(3, 4)
def wide(): return Line(2, 6)

class Swapped(Line):
    def forward(self, x):
        return super().forward(x).flip(1)

def swapped(): return Swapped(2, 4)
"""


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "surrogate.py"
    path.write_text(SURROGATE)
    return lambda name: f"py:{path}:{name}"


@pytest.fixture
def box(make):
    """A black box: class 0 where the sum of pixels is above -0.8 from grey, near the surrogate's own rule."""
    w = torch.ones(1, 4, 4)
    w[0, 0, 0] = 0.5
    net = make.affine(w, 0.8 - 0.5 * float(w.sum()))
    return Classifier(net.net, differentiable=False, name="box").eval()


@pytest.fixture
def batch(make):
    images = 0.5 + 0.02 * (make.images(20, 1, 4, 4) - 0.5)
    return Batch(images, torch.zeros(20, dtype=torch.int64), tuple(f"s{i}" for i in range(20)))


@pytest.mark.parametrize(("eps", "fooled"), [(0.02, False), (0.1, True)])
def test_a_black_box_is_broken_through_a_surrogate(box, batch, spec, eps, fooled):
    box.net.seen = 0
    (got,), flags = Transfer(surrogate=spec("two"), steps=10).attack(Oracle(box), batch, norm="linf", eps=[eps])
    assert got.fooled.tolist() == [fooled] * 20
    assert flags == []
    assert torch.equal(box(got.images).argmax(1) != 0, got.fooled)
    assert [(t.attack, t.gradients) for t in got.phases] == [("transfer-ce", False), ("transfer-margin", False)]
    assert "surrogate.py:two" in got.phases[0].why


@pytest.mark.parametrize(("names", "fooled"), [("dark\nlight", True), ("light\ndark", False)])
def test_the_classes_of_a_surrogate_are_those_of_the_same_names(box, batch, spec, tmp_path, names, fooled):
    """The surrogate has the model's classes the other way round; searched without their names it leads away."""
    (tmp_path / "names.txt").write_text(names)
    box.classes = ("light", "dark")
    attack = Transfer(surrogate=f"{spec('swapped')}?classes={tmp_path / 'names.txt'}", steps=10)
    (got,), _ = attack.attack(Oracle(box), batch, norm="linf", eps=[0.1])
    assert got.fooled.tolist() == [fooled] * 20


@pytest.mark.parametrize("loss", ["ce", "margin"])
def test_nothing_is_asked_of_the_model_but_the_last_look(box, batch, spec, loss):
    box.net.seen = 0
    attack = Transfer(surrogate=spec("two"), steps=10, loss=loss)
    (got,), _ = attack.attack(Oracle(box), batch, norm="linf", eps=[0.1], clean=box(batch.images).detach())
    assert bool(got.fooled.all())
    assert box.net.seen == 20 + 20 + 20  # the clean logits asked for above, the last look, the rounded image
    # The search makes all its steps, success or not, and is counted: ten passes each way on the surrogate.
    assert got.forwards.tolist() == [10 + 2] * 20
    assert got.backwards.tolist() == [10] * 20


def test_the_model_itself_is_the_default_where_it_has_gradients(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(20, 1, 8, 8))
    (got,), _ = Transfer(steps=10, loss="ce").attack(Oracle(net), batch, norm="linf", eps=[0.1])
    (own,), _ = APGD(steps=10).attack(Oracle(net), batch, norm="linf", eps=[0.1])
    assert bool((got.fooled <= own.fooled).all())
    assert 0 < int(got.fooled.sum()) <= int(own.fooled.sum())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (None, "'box' gives no gradients: use a surrogate that does"),
        ("three", "has 3 classes, the model 2"),
        ("wide", r"cannot take images \(1, 4, 4\)"),
    ],
)
def test_an_unfit_surrogate_is_refused_in_one_line(box, batch, spec, name, words):
    attack = Transfer(surrogate=spec(name)) if name else Transfer()
    with pytest.raises(ParameterError, match=f"^transfer: .*{words}") as caught:
        attack.attack(Oracle(box), batch, norm="linf", eps=[0.1])
    assert "\n" not in str(caught.value)


def test_an_unknown_surrogate_is_refused_as_a_model_is(box, batch):
    with pytest.raises(UnshakenError, match="no demo model 'nonesuch'"):
        Transfer(surrogate="demo:nonesuch").attack(Oracle(box), batch, norm="linf", eps=[0.1])


@pytest.fixture
def photos():
    """Embedded images, with labels."""
    found = next(iter(stream(load_data("demo"), range(0, 1000, 60), batch_size=17)))
    assert isinstance(found, Batch)
    return found


def test_another_attack_on_the_surrogate_is_that_attack(photos):
    model = load_model("demo:standard")
    (own,), _ = PGD(steps=5).attack(Oracle(model), photos, norm="linf", eps=[0.02])
    (one,), _ = Transfer(surrogate="demo:standard", search="pgd:steps=5").attack(
        Oracle(model), photos, norm="linf", eps=[0.02]
    )
    (most,), _ = Transfer(surrogate="demo:standard", steps=20).attack(Oracle(model), photos, norm="linf", eps=[0.02])
    assert one.phases[0].attack == "transfer"
    assert int(one.fooled.sum()) <= int(own.fooled.sum())  # one look at the last point; PGD looks at every one
    assert int(one.fooled.sum()) < int(most.fooled.sum())


@pytest.mark.parametrize("name", ["autoattack", "deepfool", "spatial"])
def test_what_is_no_single_search_in_a_budget_is_refused(photos, name):
    attack = Transfer(surrogate="demo:standard", search=name)
    with pytest.raises(ParameterError, match=f"search '{name}' is not a single search"):
        attack.attack(Oracle(load_model("demo:standard")), photos, norm="linf", eps=[0.02])
