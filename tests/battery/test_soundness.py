"""Every registered certifier, over and over: it is wrong no more often than it says. A new one is in here as it is.

Certificates by votes: one image at a known distance from a plane, under hundreds of ids, so with as many independent
draws of the noise. The plane's distance is the exact radius of the smoothed classifier, and of each half of a dual one.
Certificates by bounds and by solvers: points within the radius, none of which may have another class.

`UNSHAKEN_REPEATS=10000 pytest tests/battery/test_soundness.py` repeats each ten thousand times, in minutes.
"""

from __future__ import annotations

import math
import os

import pytest
import torch
from torch import nn

from unshaken.certify.engine.base import Certifier
from unshaken.core import Batch, Classifier, Oracle, list_methods
from unshaken.core.context import Context
from unshaken.run.adapters import Line, conditions_of, rows_of

REPEATS = int(os.environ.get("UNSHAKEN_REPEATS", "500"))
CERTIFIERS = [m for m in list_methods() if m.room == "certify" and issubclass(m.cls, Certifier) and m.cls.apart]
CERTIFIERS = [m for m in CERTIFIERS if not m.name.endswith("-attack")]
VOTING = [m for m in CERTIFIERS if "alpha" in m.cls.model_fields and "l2" in m.norms]
BOUNDING = [m for m in CERTIFIERS if "linf" in m.norms]


def every(methods):
    return pytest.mark.parametrize("method", methods, ids=[m.name for m in methods])


class Plane(nn.Module):
    """Two classes on either side of a plane through grey, whose normal is the same on each pixel of 2 x 2."""

    def forward(self, x):
        z = (x - 0.5).flatten(1).sum(1) / 2
        return torch.stack([-z, z], 1)


def certified(method, distance, *, alpha=0.1, **more):
    """Radius, prediction and abstention of all certificates of an image that far from the plane."""
    fields = method.cls.model_fields
    given = {"n": 100, "n0": 20, "sigma": 0.25, "skip_wrong": False, "give_up": 0.0, **more}
    values = {name: value for name, value in given.items() if name in fields}
    if "weight" in fields:
        values["weight"] = 1.0  # of the smoothed model in a mixture
    built = method.cls(**values, alpha=alpha)
    images = torch.full((1, 1, 2, 2), 0.5 + distance / 2).expand(REPEATS, -1, -1, -1)
    batch = Batch(images, torch.ones(REPEATS, dtype=torch.int64), tuple(str(i) for i in range(REPEATS)))
    oracle = Oracle(Classifier(Plane(), name="plane").eval(), limit=200_000)
    conditions = conditions_of(built, Line(method.name, norm="l2"))
    parts = rows_of(built, batch, conditions, Context(oracle, 0, torch.zeros(REPEATS, 2)))
    rows = next(p.columns for p in parts if p.table == "certificates")
    return tuple(torch.as_tensor(rows[name]) for name in ("radius", "prediction", "abstained"))


def allowed(alpha):
    return alpha + 3 * math.sqrt(alpha * (1 - alpha) / REPEATS)


@every(VOTING)
def test_votes_are_wrong_no_more_often_than_stated_on_the_border(method):
    """No class is above one half here: whatever is certified is wrong, and the class is chosen by chance."""
    radius, _, abstained = certified(method, 0.0)
    wrong = ((radius > 0) | ~abstained).double().mean()
    assert wrong <= allowed(0.1)


@every(VOTING)
def test_votes_are_wrong_no_more_often_than_stated_off_the_border(method):
    distance = 0.1
    grid = {"radii": (distance + 1e-4,)} if "smoothing-sequential" in method.name else {}
    radius, prediction, abstained = certified(method, distance, **grid)
    wrong = (radius > distance) | (~abstained & (prediction != 1))
    assert wrong.double().mean() <= allowed(0.1)
    assert abstained.double().mean() < 0.6  # else this would hold for a method that never says anything


def small_net():
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(36, 12), nn.ReLU(), nn.Linear(12, 3),
    )  # fmt: skip
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * (0.5 if p.ndim > 1 else 0.1))
    return Classifier(net, name="small").eval(), torch.rand(20, 1, 6, 6, generator=generator)


def bounded(method, net, images, eps):
    """The certified radius of each image, the predicted class, and which pixels the certificate speaks of."""
    # few free pixels where a method chooses some: all their corners can be tried
    built = method.cls(**{"pixels": 6} if "pixels" in method.cls.model_fields else {})
    oracle = Oracle(net)
    logits = oracle.exact(images)
    labels = logits.argmax(1)
    batch = Batch(images, labels, tuple(str(i) for i in range(len(images))))
    conditions = conditions_of(built, Line(method.name, eps=(eps,)))
    parts = rows_of(built, batch, conditions, Context(oracle, 0, logits))
    rows = next(p.columns for p in parts if p.table == "certificates")
    free = torch.zeros(len(images), images[0].numel(), dtype=torch.bool)
    for i, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        places = built.region(image, label, eps).free if hasattr(built, "region") else slice(None)
        free[i, places] = True
    return torch.as_tensor(rows["radius"]), labels, free.view_as(images)


@every(BOUNDING)
def test_bounds_hold_at_every_point_that_is_tried(method):
    net, images = small_net()
    found = 0
    for eps in (0.005, 0.02):
        radius, labels, free = bounded(method, net, images, eps)
        assert ((radius == 0) | (radius >= eps)).all()
        found += int((radius > 0).sum())
        for i in torch.nonzero(radius)[:, 0].tolist():
            points = around(net, images[i], labels[i], float(radius[i]), free[i])
            assert net(points).argmax(1).eq(labels[i]).all(), (i, eps)
    assert found >= 5  # it certifies something


def around(net, image, label, radius, free):
    """Points of a ball: half of them corners, half inside; all begin with the corner that the gradient points to."""
    generator = torch.Generator().manual_seed(1)
    count = max(REPEATS // 10, 100)  # 20 images, at two radii
    step = torch.rand(count, *image.shape, generator=generator) * 2 - 1
    step[: count // 2] = step[: count // 2].sign()
    x = image[None].clone().requires_grad_(True)
    loss = nn.functional.cross_entropy(net(x), label[None])
    step[0] = torch.autograd.grad(loss, x)[0][0].sign()
    return (image + radius * step * free).clamp(0, 1)


def test_the_battery_knows_every_certifier():
    """One that is neither of votes nor of bounds has a soundness test of its own, named here."""
    others = {m.name for m in CERTIFIERS} - {m.name for m in VOTING} - {m.name for m in BOUNDING}
    assert others == set()
