"""TODO."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from unshaken.attack.gradient.pgd import PGD
from unshaken.certify.crops._choice import box_mean_score, candidates, cut, to_levels, wrapped
from unshaken.certify.crops.crop_selection import (
    CropSelection,
    ball_rate,
    four_neighbours_rate,
    same_crop_rate,
)
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, View
from unshaken.core.context import Context
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle
from unshaken.core.registry import parse_method
from unshaken.models import fingerprint
from unshaken.run.adapters import Line, conditions_of, rows_of
from unshaken.run.adapters.certify import fields_for
from unshaken.run.plan import Step
from unshaken.store.config import Entry
from unshaken.store.tables import table_of
from unshaken.stress.geometry.translation import window

NAMES = ["hash", "laplacian", "random_filter", "box_energy", "box_mean"]


def photos(n, side, seed=0, channels=3, levels=256):
    """8-bit noise, smoothed a little so that box scores differ less than hashes do."""
    noise = np.random.default_rng(seed).integers(0, levels, (n, channels, side, side))
    return torch.from_numpy(noise).float() / 255


class Linear(nn.Module):
    """Logits that know every pixel: any change of the input shows."""

    def __init__(self, side, channels=3, classes=4):
        super().__init__()
        weights = np.random.default_rng(9).normal(size=(classes, channels * side * side))
        self.weight = nn.Parameter(torch.from_numpy(weights).float())

    def forward(self, x):
        return x.flatten(1) @ self.weight.T


def weighted(grey, size):
    """The score of the worked example: sum(crop * [[1, 2], [3, 4]])."""
    views = grey.unfold(1, 2, 1).unfold(2, 2, 1)
    return (views * torch.tensor([[1, 2], [3, 4]])).sum((3, 4))


def test_sums_in_one_dimension_select_the_same_place_of_the_photo():
    photo = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6], dtype=torch.uint8).view(1, 1, 1, 8)
    for offset, local in ((0, 4), (1, 3), (2, 2)):
        seen = photo[..., offset : offset + 6]
        best = candidates(seen, (1, 2), box_mean_score()).best()
        assert best.left.item() == local
        assert cut(seen, best, (1, 2)).flatten().tolist() == [5, 9]


def test_cyclic_crops_of_the_worked_example():
    image = torch.tensor([[1, 2, 0], [4, 3, 1], [0, 5, 2]], dtype=torch.uint8).view(1, 1, 3, 3)
    for rolled, place in ((image, (1, 0)), (image.roll((1, 2), (2, 3)), (2, 2))):
        torus = wrapped(rolled, (2, 2))
        found = candidates(torus, (2, 2), weighted)
        best = found.best()
        assert (best.top.item(), best.left.item(), best.score.item()) == (*place, 30)
        assert cut(torus, best, (2, 2)).flatten().tolist() == [4, 3, 0, 5]
        if rolled is image:
            assert found.scores.flatten().tolist() == [29, 15, 21, 30, 28, 15, 21, 15, 6]
            assert best.margin.item() == 1


@pytest.mark.parametrize("score", NAMES)
def test_equal_places_in_the_photo_mean_equal_pixels_and_equal_outputs(score):
    photo, method, model = photos(12, 34), CropSelection(score=score, crop=20), Classifier(Linear(20))
    defended = method.wrap(model)
    clean = window(photo, 0, 0, 30, 30)
    at, crops, logits = method.select(clean), method.crops(clean), defended(clean)
    agreed = 0
    for dy, dx in product((-2, -1, 0, 1, 2), repeat=2):
        moved = window(photo, dy, dx, 30, 30)
        there = method.select(moved)
        same = ((there.top + dy == at.top) & (there.left + dx == at.left)).flatten()
        assert torch.equal(method.crops(moved)[same], crops[same])
        assert torch.equal(defended(moved)[same], logits[same])
        agreed += int(same.sum())
    assert 12 < agreed < 25 * 12


def test_a_torus_repeats_its_first_rows_and_columns():
    image = torch.arange(6).view(1, 1, 2, 3)
    assert wrapped(image, (2, 3))[0, 0].tolist() == [[0, 1, 2, 0, 1], [3, 4, 5, 3, 4], [0, 1, 2, 0, 1]]
    assert torch.equal(wrapped(image, (1, 1)), image)


@pytest.mark.parametrize("score", NAMES)
@pytest.mark.parametrize("side", [16, 21])
def test_cyclic_selection_is_exactly_invariant(score, side):
    images, method = photos(4, 21), CropSelection(score=score, crop=side, cyclic=True)
    crops = method.crops(images)
    for shift in ((1, 0), (0, -1), (7, 13), (20, 5)):
        assert torch.equal(method.crops(images.roll(shift, (2, 3))), crops)


def test_cyclic_selection_sees_crops_over_the_border_while_plain_selection_does_not():
    images = photos(40, 16)
    over = CropSelection(crop=12, cyclic=True).select(images)
    plain = CropSelection(crop=12).select(images)
    assert int(over.top.max()) > 4
    assert int(plain.top.max()) <= 4


@pytest.mark.parametrize("score", NAMES)
def test_certificate_is_true_exactly_where_brute_force_agrees(score):
    d, n = 2, 24
    photo, method = photos(150, n + 2 * d, seed=1, levels=6), CropSelection(score=score, crop=12)
    first, same = method.crops(window(photo, -d, -d, n, n)), torch.ones(150, dtype=torch.bool)
    for dy, dx in product(range(-d, d + 1), repeat=2):
        same &= (method.crops(window(photo, dy, dx, n, n)) == first).flatten(1).all(1)
    certified = method.certify(photo, d)
    assert torch.equal(certified, same)
    assert 0 < int(certified.sum()) < 150


def test_certificate_with_a_central_block_on_a_photo_that_is_not_square():
    d, (h, w) = 1, (26, 31)
    noise = np.random.default_rng(2).integers(0, 256, (80, 1, h + 2 * d, w + 2 * d))
    photo, method = torch.from_numpy(noise).float() / 255, CropSelection(crop=13, block=6)
    first, same = method.crops(window(photo, 0, 0, h, w)), torch.ones(80, dtype=torch.bool)
    for dy, dx in product(range(-d, d + 1), repeat=2):
        same &= (method.crops(window(photo, dy, dx, h, w)) == first).flatten(1).all(1)
    assert torch.equal(method.certify(photo, d), same)
    assert same.float().mean().item() == pytest.approx(ball_rate(6, d), abs=0.18)  # 3.2 standard errors of 80 photos


def test_hash_follows_the_law():
    method = CropSelection(crop=12)
    rate = method.certify(photos(1500, 30, seed=4, channels=1), 1).float().mean().item()
    assert rate == pytest.approx(ball_rate(28 - 12 + 1, 1), abs=0.04)  # 0.623; 3.2 standard errors


@pytest.mark.parametrize("score", NAMES)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_image_is_consistent(score, value):
    photo, method = torch.full((2, 3, 20, 20), value), CropSelection(score=score, crop=12)
    assert method.certify(photo, 2).all()
    assert torch.equal(method.crops(window(photo, 1, 0, 16, 16)), method.crops(window(photo, -2, 2, 16, 16)))
    assert method.select(photo).margin.tolist() == [0, 0]


def test_ties_are_broken_by_content_wherever_the_crops_lie():
    photo = torch.zeros(1, 1, 9, 20)
    photo[0, 0, 4, 5], photo[0, 0, 4, 6], photo[0, 0, 4, 14], photo[0, 0, 2, 15] = 0.4, 0.4, 0.4, 0.8
    method = CropSelection(score="box_mean", crop=5)  # one crop holds 0.4 + 0.8, the others less
    assert method.crops(photo).amax() == pytest.approx(0.8)
    pair = torch.zeros(1, 1, 9, 20)
    pair[0, 0, 4, 5] = pair[0, 0, 4, 14] = 0.4  # sums tie: the largest content has the pixel at its first place
    for image in (pair, pair.flip(3), pair.roll(1, 3)):
        assert method.crops(image).flatten().argmax() == 0


def test_a_grid_of_stride_two_is_consistent_for_even_shifts_only():
    photo, score = photos(60, 34, seed=5), CropSelection(crop=20)

    def coarse(dy):
        seen = window(photo, dy, 0, 30, 30)
        scores = score.candidates(seen, (20, 20)).scores[:, ::2, ::2].flatten(1)
        return scores.amax(1)

    even, odd = (coarse(2) == coarse(0)).float().mean(), (coarse(1) == coarse(0)).float().mean()
    assert even > 0.5
    assert odd < 0.05


def test_one_candidate_is_the_plain_network():
    images, model = photos(3, 20), Classifier(Linear(20))
    assert torch.equal(CropSelection(ratio=1.0).wrap(model)(images), model(images))


def test_several_crops_average_their_logits_best_first():
    images, model = photos(5, 24), Classifier(Linear(16))
    method = CropSelection(crop=16, top=3)
    best = method.select(images)
    assert (best.score.diff(dim=1) <= 0).all()
    assert torch.equal(best.margin, best.score[:, 0] - best.score[:, 1])
    scores = method.candidates(images, (16, 16)).scores.flatten(1)
    assert torch.equal(best.score, scores.sort(1, descending=True).values[:, :3])
    alone = torch.stack([model(crop) for crop in method.crops(images).unbind(1)]).mean(0)
    assert torch.allclose(method.wrap(model)(images), alone, atol=1e-5)


def test_several_crops_of_a_tie_are_shift_consistent():
    tiled = photos(1, 4, seed=3, channels=1).repeat(1, 1, 6, 6)  # every crop occurs many times
    method = CropSelection(crop=9, top=4)
    assert torch.equal(method.crops(tiled), method.crops(tiled.roll((1, 3), (2, 3))))


def test_gradients_pass_through_the_crop_alone():
    images, method = photos(3, 24).requires_grad_(), CropSelection(crop=16)
    model = Classifier(Linear(16))
    method.wrap(model)(images)[:, 0].sum().backward()
    best = method.select(images)
    for i in range(3):
        y, x = best.top[i, 0], best.left[i, 0]
        inside = images.grad[i, :, y : y + 16, x : x + 16]
        assert torch.allclose(inside.flatten(), model.net.weight[0])
        assert images.grad[i].abs().sum() == pytest.approx(inside.abs().sum().item())


def test_the_defended_model_resizes_to_the_network_and_keeps_what_it_is():
    view = View(16, 16, resize=20, interpolation="bicubic")
    model = Classifier(Linear(16), classes=("a", "b", "c", "d"), view=view, name="net")
    defended = CropSelection(ratio=0.6).wrap(model)
    assert defended.view == View(20, 20, resize=20, interpolation="bicubic")
    assert defended.classes == model.classes
    assert defended(photos(2, 20)).shape == (2, 4)
    assert fingerprint(defended) not in (fingerprint(model), fingerprint(CropSelection(ratio=0.7).wrap(model)))


def test_features_are_those_of_the_model_inside():
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 14 * 14, 4))
    images, model = photos(2, 20), Classifier(net)
    logits, found = CropSelection(crop=16, top=2).wrap(model).features(images, ["0"])
    crops = CropSelection(crop=16, top=2).crops(images)
    assert torch.allclose(logits, (model(crops[:, 0]) + model(crops[:, 1])) / 2, atol=1e-6)
    assert torch.allclose(found["0"], (net[0](crops[:, 0]) + net[0](crops[:, 1])) / 2, atol=1e-6)


def test_an_attack_runs_against_the_defended_model():
    images = photos(6, 20) * 0.8 + 0.1
    defended = CropSelection(crop=16).wrap(Classifier(Linear(16)))
    labels = defended(images).argmax(1).detach()
    batch = Batch(images, labels, tuple("abcdef"))
    found, flags = PGD(steps=5).attack(Oracle(defended), batch, norm="linf", eps=[0.1])
    assert found[0].fooled.any()
    assert flags == []
    assert (defended(found[0].images).argmax(1) != labels)[found[0].fooled].all()


def test_it_stands_in_a_plan_and_gives_rows_of_both_tables():
    batch = Batch(photos(30, 28, seed=6), torch.arange(30) % 4, tuple(f"s{i}" for i in range(30)))
    model = Classifier(Linear(18), view=View(18, 18))
    step = Step(Entry(method="crop-selection", params={"crop": "14"}, severities=(1, 3)), "crop-selection")
    assert [c.id for c in step.conditions] == ["crop-selection-1", "crop-selection-3"]
    oracle = Oracle(model, limit=8)
    parts = rows_of(step.method, batch, step.conditions, Context(oracle, 0, torch.zeros(30, 4)))
    assert [p.table for p in parts] == ["certificates", "outcomes"] * 2
    assert oracle.meter.forwards == 60
    method = CropSelection(crop=14)
    rows, answers = table_of(parts[2]).to_pydict(), table_of(parts[3]).to_pydict()
    seen = window(batch.images, 0, 0, 22, 22)
    assert answers["prediction"] == rows["prediction"] == method.wrap(model)(seen).argmax(1).tolist()
    assert answers["forwards"] == [1] * 30
    held = [method.certify(window(batch.images, 0, 0, 22 + 2 * d, 22 + 2 * d), d).tolist() for d in (1, 2, 3)]
    assert rows["radius"] == [float(sum(h)) for h in zip(*held, strict=True)]
    assert len(set(rows["radius"])) > 1
    assert rows["id"] == list(batch.ids)
    assert set(rows["alpha"]) == {0.0}
    assert set(rows["norm"]) == {"translation"}
    assert parts[3].images(torch.tensor([2])).shape == (1, 3, 22, 22)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("crop-selection:ratio=0", "greater than 0"),
        ("crop-selection:ratio=1.5", "less than or equal to 1"),
        ("crop-selection:crop=0", "greater than 0"),
        ("crop-selection:score=edges", "'hash', 'laplacian'"),
        ("crop-selection:top=0", "greater than 0"),
        ("crop-selection:cyclic=true,block=3", "omit block"),
        ("crop-selection:stride=2", "no parameter 'stride'"),
    ],
)
def test_wrong_parameters_are_refused(text, words):
    with pytest.raises(ParameterError, match=words):
        parse_method(text, "certify")


def test_wrong_images_and_shifts_are_refused():
    images = photos(2, 20)
    with pytest.raises(ParameterError, match="crop=24 does not fit into images of 20 x 20"):
        CropSelection(crop=24).select(images)
    with pytest.raises(ParameterError, match="top=50 crops"):
        CropSelection(crop=18, top=50).select(images)
    with pytest.raises(ParameterError, match="1 or 3 channels"):
        CropSelection(crop=16).select(photos(1, 20, channels=2))
    with pytest.raises(ParameterError, match="leaves no window"):
        CropSelection(crop=5).certify(images, 10)
    with pytest.raises(ParameterError, match="leaves no window"):
        CropSelection(crop=5).certify(images, -1)
    with pytest.raises(ParameterError, match="does not fit"):
        CropSelection(crop=17).certify(images, 2)
    with pytest.raises(ParameterError, match="top=1, cyclic=false"):
        CropSelection(crop=10, cyclic=True).certify(images, 1)
    with pytest.raises(ParameterError, match="give severities, not eps"):
        conditions_of(CropSelection(), Line("c", eps=(0.1,)))
    with pytest.raises(ParameterError, match="at least 1 pixel"):
        conditions_of(CropSelection(), Line("c", severities=(0,)))


def test_sizes_are_shares_of_the_side_or_pixels():
    assert CropSelection().crop_size(224, 64) == (196, 56)
    assert CropSelection(ratio=0.01).crop_size(10, 20) == (1, 1)
    assert CropSelection(crop=7, ratio=0.5).crop_size(10, 7) == (7, 7)


def test_a_shift_of_one_pixel_is_the_default():
    found = conditions_of(CropSelection(), Line("c"))
    assert [(c.id, c.severity) for c in found] == [("c-1", 1)]
    assert fields_for(CropSelection(), [2, 3.0]) == {"severities": [2, 3]}
    with pytest.raises(ParameterError, match=r"whole pixels, not 2\.5"):
        fields_for(CropSelection(), [1, 2.5])


def test_no_shift_is_certified_of_every_photo():
    assert CropSelection(crop=9).certify(photos(3, 12), 0).tolist() == [True] * 3


def test_the_crop_that_fits_once_is_the_photo():
    """One candidate: no second best, and so no margin; one pixel of shift always changes it."""
    images = photos(2, 12)
    found = CropSelection(crop=12).select(images)
    assert (found.top.tolist(), found.left.tolist(), found.margin.tolist()) == ([[0], [0]], [[0], [0]], [0, 0])
    assert CropSelection(crop=10).certify(images, 1).tolist() == [False, False]
    with pytest.raises(ParameterError, match="does not fit into images of 12 x 12"):
        candidates(images, (13, 12), weighted)
    with pytest.raises(ParameterError, match="does not fit"):
        candidates(images, (12, 13), weighted)


def test_rows_need_one_crop_a_photo_and_cost_a_pass_each():
    batch = Batch(photos(5, 20, seed=6), torch.arange(5) % 4, tuple("abcde"))
    seen = []
    model = Classifier(Linear(12))
    model.net.register_forward_pre_hook(lambda _m, inputs: seen.append(len(inputs[0])))
    method, oracle = CropSelection(crop=12, top=3), Oracle(model, limit=2)
    (condition,) = conditions_of(method, Line("c"))
    with pytest.raises(ParameterError, match="top=1"):
        rows_of(method, batch, [condition], Context(oracle, 0, torch.zeros(5, 4)))
    one = CropSelection(crop=12)
    parts = rows_of(one, batch, [condition], Context(oracle, 0, torch.zeros(5, 4)))
    assert [len(p.columns["id"]) for p in parts] == [5, 5]
    assert seen == [2, 2, 1]
    assert oracle.meter.forwards == 5


def test_a_classifier_of_a_smaller_photo_looks_at_its_short_side():
    for view, side in ((View(16, 20, resize=12, interpolation="bilinear"), 20), (View(16, 12), 16)):
        model = Classifier(Linear(16), view=view)
        assert CropSelection().wrap(model).view == View(side, side, resize=side, interpolation=view.interpolation)
    assert CropSelection().wrap(Classifier(Linear(16))).view is None


def test_images_are_read_as_their_256_levels():
    levels = torch.arange(256).view(1, 1, 16, 16)
    assert torch.equal(to_levels(levels / 255), levels.to(torch.uint8))
    assert torch.equal(to_levels((levels + 0.4) / 255), levels.to(torch.uint8))
    assert to_levels(torch.tensor([-0.5, 1.5])).tolist() == [0, 255]


FOUR = [(0, 1), (0, -1), (1, 0), (-1, 0)]
EIGHT = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]


@pytest.mark.parametrize(
    ("k", "one", "diagonal", "four", "eight"),
    [(9, 0.800, 0.6531, 0.4188, 0.4050), (17, 0.8889, 0.7950, 0.6303, 0.6233), (33, 0.9412, 0.8873, 0.7871, 0.7845)],
)
def test_closed_forms_and_counting_give_the_published_figures(k, one, diagonal, four, eight):
    counted = [same_crop_rate(k, s) for s in ([(1, 0)], [(1, 1)], FOUR, EIGHT)]
    assert counted == pytest.approx([one, diagonal, four, eight], abs=5e-5)
    assert counted[0] == pytest.approx((k - 1) / (k + 1), abs=1e-12)
    assert counted[1] == pytest.approx((k - 1) ** 2 / (2 * k**2 - (k - 1) ** 2), abs=1e-12)
    assert counted[2:] == pytest.approx([four_neighbours_rate(k), ball_rate(k, 1)], abs=1e-12)


@pytest.mark.parametrize("shifts", [[(0, 1)], [(1, 1)], FOUR, EIGHT, [(2, 0), (-1, 3)]])
def test_law_holds_for_simulated_scores(shifts):
    k, margin, trials = 9, 3, 4000
    scores = np.random.default_rng(0).random((trials, k + 2 * margin, k + 2 * margin))

    def chosen(dy, dx):
        part = scores[:, margin + dy : margin + dy + k, margin + dx : margin + dx + k].reshape(trials, -1)
        y, x = np.divmod(part.argmax(1), k)
        return np.stack([y + dy, x + dx], 1)

    same = np.all([(chosen(*s) == chosen(0, 0)).all(1) for s in shifts], axis=0).mean()
    assert same == pytest.approx(same_crop_rate(k, shifts), abs=0.03)


def test_one_candidate_never_agrees_and_far_shifts_share_nothing():
    assert same_crop_rate(1, [(0, 1)]) == four_neighbours_rate(1) == ball_rate(1, 1) == 0
    assert same_crop_rate(5, [(9, 9)]) == 0
    assert same_crop_rate(5, []) == 1


def test_no_candidates_are_refused():
    with pytest.raises(ParameterError, match="at least 1 candidate"):
        ball_rate(0, 1)


def test_rates_never_fall_below_none():
    assert ball_rate(3, 2) == 0
    assert ball_rate(5, 2) == pytest.approx((1 / 9) ** 2)
    assert ball_rate(7, 0) == same_crop_rate(7, [(0, 0)]) == 1
    assert four_neighbours_rate(3) == pytest.approx(1 / 21)
