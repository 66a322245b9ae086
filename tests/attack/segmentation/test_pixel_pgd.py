import pytest
import torch

from tests.tasks.segmentation.scenes import scenes, segmenter
from unshaken.attack.engine.ball import Ball
from unshaken.attack.segmentation.pixel_pgd import (
    PixelCrossEntropy,
    PixelPGD,
    PixelProblem,
    _Ascent,
    goal_masks,
    wrong_pixels,
)
from unshaken.core.batch import Batch
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle
from unshaken.core.query import Answer
from unshaken.core.rng import SampleRng
from unshaken.data import stream
from unshaken.run.adapters import Line, conditions_of


def batch(n=4):
    (found,) = stream(scenes(n), list(range(n)), batch_size=n)
    return found


@pytest.mark.parametrize(("loss", "norm"), [("ce", "linf"), ("segpgd", "linf"), ("segpgd", "l2")])
def test_the_margin_of_a_net_that_is_linear_in_each_pixel_is_met_exactly(loss, norm):
    """A coloured pixel, 200/255, becomes background below 0.5; a black one coloured above 0.5."""
    margin, data = 200 / 255 - 0.5, batch()
    attack, oracle = PixelPGD(steps=20, loss=loss), Oracle(segmenter())
    pixels = (data.labels != 255).flatten(1).sum(1)
    if norm == "linf":
        eps = [0.99 * margin, 1.01 * margin]
        short, enough = attack.attack(oracle, data, norm=norm, eps=eps)
        assert (short.won == 0).all()
        torch.testing.assert_close(enough.won, ((data.labels == 1) | (data.labels == 2)).flatten(1).sum(1) / pixels)
    else:
        (found,) = attack.attack(oracle, data, norm=norm, eps=[0.99 * margin])
        assert (found.won == 0).all()
        assert (found.distance <= 0.99 * margin * (1 + 1e-6)).all()


@pytest.mark.parametrize("loss", ["ce", "segpgd"])
def test_pixels_are_given_the_chosen_class_beyond_the_same_margin(loss):
    """Coloured pixels are to be background, and black ones are left alone."""
    margin, data, attack = 200 / 255 - 0.5, batch(), PixelPGD(steps=20, loss=loss)
    oracle, targets = Oracle(segmenter()), torch.tensor([[-1, 0, 0]]).expand(4, 3)
    short, enough = attack.attack(oracle, data, norm="linf", eps=[0.99 * margin, 1.01 * margin], targets=targets)
    assert (short.won == 0).all()
    assert (enough.won == 1).all()
    counted, reached = attack.count_reached(enough.outputs, data, targets)
    assert torch.equal(counted, reached)
    assert counted.tolist() == [[0, int((mask == 1).sum()), int((mask == 2).sum())] for mask in data.labels]
    assert not attack.count_reached(short.outputs, data, targets)[1].any()
    assert attack.class_scores(oracle.exact(data.images), data)[0, 1].tolist() == pytest.approx([2, 4 * 200 / 255, 0])


def test_images_without_a_pixel_to_move_stay_as_they_are():
    data = batch()
    targets = torch.tensor([[-1, -1, -1], [1, -1, -1]])[[0, 1, 0, 0]]
    (found,) = PixelPGD(steps=3).attack(Oracle(segmenter()), data, norm="linf", eps=[0.6], targets=targets)
    assert torch.equal(found.images[[0, 2, 3]], data.images[[0, 2, 3]])
    assert found.won[1] > 0
    assert found.distance[1] > 0.4


def test_goals_of_pixels_by_hand():
    masks = torch.tensor([[[0, 1, 255, 2]]])
    assert goal_masks(masks, torch.tensor([[2, -1, 0]])).tolist() == [[[2, 255, 255, 0]]]


def test_the_loss_falls_towards_the_chosen_class_and_pixels_that_have_it_weigh_as_told():
    logits, goals = torch.zeros(1, 2, 1, 3), torch.tensor([[[0, 1, 255]]])
    logits[0, 0] = 1.0
    there, lacking = torch.log1p(torch.exp(torch.tensor([-1.0, 1.0])))
    plain = PixelCrossEntropy(goals, toward=True)(Answer(logits=logits))
    torch.testing.assert_close(plain, -(there + lacking)[None] / 2)
    weighed = PixelCrossEntropy(goals, torch.tensor([0.25]), toward=True)(Answer(logits=logits))
    torch.testing.assert_close(weighed, -(0.25 * there + 0.75 * lacking)[None] / 2)


def test_larger_budgets_keep_what_smaller_ones_found_and_all_is_counted():
    data, oracle = batch(), Oracle(segmenter())
    found = PixelPGD(steps=5, random_start=False).attack(oracle, data, norm="linf", eps=[0.6, 0.3, 0.0])
    assert (found[0].won >= found[1].won).all()
    assert (found[2].won == 0).all()
    spent = sum(int(one.forwards.sum()) for one in found) + len(data)
    assert spent == oracle.meter.forwards
    assert sum(int(one.backwards.sum()) for one in found) == oracle.meter.backwards
    for one in found:
        torch.testing.assert_close(one.won, wrong_pixels(oracle.exact(one.images), data.labels))


def test_the_result_depends_on_the_sample_alone():
    data, attack = batch(), PixelPGD(steps=3)
    (whole,) = attack.attack(Oracle(segmenter()), data, norm="linf", eps=[0.3])
    (alone,) = attack.attack(Oracle(segmenter(), limit=1), data[torch.tensor([2])], norm="linf", eps=[0.3])
    torch.testing.assert_close(alone.images[0], whole.images[2])


def test_ignored_pixels_have_no_loss_and_wrong_ones_weigh_as_told():
    logits, masks = torch.zeros(1, 2, 1, 3), torch.tensor([[[0, 1, 255]]])
    logits[0, 0] = 1.0
    right, wrong = torch.log1p(torch.exp(torch.tensor([-1.0, 1.0])))
    plain = PixelCrossEntropy(masks)(Answer(logits=logits))
    torch.testing.assert_close(plain, ((right + wrong) / 2)[None])
    weighed = PixelCrossEntropy(masks, torch.tensor([0.25]))(Answer(logits=logits))
    torch.testing.assert_close(weighed, ((0.75 * right + 0.25 * wrong) / 2)[None])


def test_what_is_wrong_is_named():
    data = batch(2)
    with pytest.raises(ParameterError, match="the data has no masks"):
        PixelPGD().attack(Oracle(segmenter()), Batch(data.images, None, data.ids), norm="linf", eps=[0.1])
    with pytest.raises(ParameterError, match="norm 'l7'"):
        PixelPGD().attack(Oracle(segmenter()), data, norm="l7", eps=[0.1])
    with pytest.raises(ParameterError, match="give eps"):
        conditions_of(PixelPGD(), Line("x"))


def search(**options):
    """A search of three images of two pixels of class 0, at its start."""
    clean = torch.full((3, 1, 1, 2), 0.5)
    ball = Ball.of(clean, torch.full((3,), 0.1), "linf")
    ascent = _Ascent(PixelPGD(**options))
    problem = PixelProblem(ball, torch.zeros(3, 1, 2, dtype=torch.int64))
    return ascent, ascent.start(problem, SampleRng.of(0, "pixel-pgd", ["a", "b", "c"]))


def test_wrong_pixels_weigh_more_from_step_to_step():
    ascent, state = search(steps=20)
    state = state.replace(step=torch.tensor([0, 5, 20]))
    assert ascent.ask(state).of.weight.tolist() == pytest.approx([0, 0.125, 0.5])
    assert search(loss="ce")[0].ask(state).of.weight is None


def test_a_step_keeps_the_most_damaging_point_and_ends_where_all_is_wrong():
    """By hand: none, one and both of the two pixels are wrong; the gradient of the last is no number."""
    ascent, state = search(steps=2, rel_stepsize=0.5, random_start=False)
    assert torch.equal(state.x, torch.full((3, 1, 1, 2), 0.5))
    logits = torch.tensor([[[1.0, 1.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]]]).unsqueeze(2)
    gradient = torch.ones(3, 1, 1, 2)
    gradient[2] = torch.nan
    told = ascent.tell(state.replace(won=torch.tensor([0.0, 0.0, 0.0])), Answer(logits=logits, gradient=gradient))
    assert told.won.tolist() == [0, 0.5, 1]
    assert told.x[:, 0, 0, 0].tolist() == pytest.approx([0.55, 0.55, 0.5])
    assert ascent.done(told).tolist() == [False, False, True]
    again = ascent.tell(told, Answer(logits=logits[[2, 0, 0]], gradient=gradient))
    assert torch.equal(again.best[0], told.x[0])
    assert torch.equal(again.best[1], state.x[1])
    assert ascent.done(again).tolist() == [True, True, True]
    started = search()[1]
    assert bool(started.problem.ball.contains(started.x).all())
    assert not torch.equal(started.x, started.problem.ball.clean)


def test_an_image_without_labelled_pixels_has_none_wrong():
    masks = torch.full((1, 1, 3), 255)
    logits = torch.randn(1, 2, 1, 3, generator=torch.Generator().manual_seed(0))
    assert wrong_pixels(logits, masks).tolist() == [0]
    assert PixelCrossEntropy(masks)(Answer(logits=logits)).tolist() == [0]
    assert PixelPGD(steps=4).most_passes(3) == 10


def test_the_seed_is_0_unless_given():
    data, attack = batch(1), PixelPGD(steps=1)
    images = [
        attack.attack(Oracle(segmenter()), data, norm="linf", eps=[0.3], **seed)[0].images
        for seed in ({}, {"seed": 0}, {"seed": 1})
    ]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])
