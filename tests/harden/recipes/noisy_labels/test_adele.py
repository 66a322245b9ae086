"""ADELE: the loss by hand, when classes are switched on, which labels change, and that they stay in the memory."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.harden.recipes.noisy_labels.conftest import Grey
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.core.masks import IGNORED
from unshaken.data.resident import Samples
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.loop import Loop
from unshaken.harden.engine.recipe import Epoch, Setup
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.noisy_labels import adele as module
from unshaken.harden.recipes.noisy_labels.adele import ADELE, AS_GIVEN, BLOCK, COUNTS, CURVE, LABELS, START
from unshaken.labels.correct.adele import correct_masks
from unshaken.labels.losses import multi_scale_consistency
from unshaken.store.run_dir import RunDir


def begun(recipe, images, samples=10):
    model = Classifier(Grey())
    setup = Setup(model, images, 3, 0, 1, 1, {}, lambda n: (images[:n], torch.zeros(n).long()), samples)
    recipe.begin(setup)
    return model, setup.memory


def ended(recipe, memory, images, given, number, model=None):
    """An epoch that ended with these counts."""
    model, rows = model or Classifier(Grey()), torch.arange(4, 10)
    epoch = Epoch(model, number, memory, {}, lambda read: (rows, given, read(images)))
    recipe.after_epoch(epoch)
    return epoch.figures


def test_one_scale_is_cross_entropy_against_the_labels_as_they_are_now(scene, step_of):
    images, truth, given = scene
    recipe, rows = ADELE(scales="1"), torch.arange(4, 10)
    model, memory = begun(recipe, images)
    step = step_of(model, images, given, classes=3, memory={"adele": memory}, rows=rows)
    before = F.cross_entropy(model(images), given, ignore_index=IGNORED)
    assert recipe.loss(step).item() == pytest.approx(before.item(), abs=1e-6)
    memory[LABELS][4:10] = truth.to(torch.uint8)
    assert recipe.loss(step).item() == pytest.approx(F.cross_entropy(model(images), truth).item(), abs=1e-6)
    ious = module.iou(memory[COUNTS].numpy())  # of the predictions with the given labels, both times
    assert ious.tolist() == pytest.approx([31 / 39, 12 / 16, 12 / 16])


def test_the_loss_over_three_scales_by_hand(scene, step_of):
    images, _, given = scene
    recipe = ADELE(scales="0.75+1+1.5", consistency=2.0, sure=0.5)
    model, memory = begun(recipe, images)
    step = step_of(model, images, given, classes=3, memory={"adele": memory}, rows=torch.arange(4, 10))
    logits = []
    for side in (6, 8, 12):
        shown = F.interpolate(images, (side, side), mode="bilinear", align_corners=True)
        logits.append(F.interpolate(model(shown), (8, 8), mode="bilinear", align_corners=True))
    known = given != IGNORED
    entropies = [F.cross_entropy(z / 3, given, ignore_index=IGNORED, reduction="sum") / known.numel() for z in logits]
    wanted = (sum(entropies) + 2.0 * multi_scale_consistency(logits, given, sure=0.5)) / 3
    assert recipe.loss(step).item() == pytest.approx(wanted.item(), abs=1e-6)


def counts_of(*ious):
    """Counts `[3, K]` with these intersections over union, in per cent."""
    hits = torch.tensor(ious)
    return torch.stack([hits, torch.full_like(hits, 100), hits])


@pytest.mark.parametrize(("statistics", "sides"), [("own", [8]), ("all", [6, 8, 12])])
def test_statistics_for_evaluation_are_of_all_scales_or_of_the_own(scene, step_of, statistics, sides):
    images, _, given = scene
    norm = torch.nn.BatchNorm2d(1, momentum=0.5, affine=False)
    model = Classifier(torch.nn.Sequential(norm, Grey())).train()
    recipe = ADELE(scales="0.75+1+1.5", statistics=statistics)
    _, memory = begun(recipe, images)
    recipe.loss(step_of(model, images, given, classes=3, memory={"adele": memory}, rows=torch.arange(4, 10)))
    mean = 0.0
    for side in sides:
        mean = (mean + F.interpolate(images, (side, side), mode="bilinear", align_corners=True).mean().item()) / 2
    assert norm.running_mean.item() == pytest.approx(mean, abs=1e-6)
    assert norm.track_running_stats


def test_each_class_is_corrected_from_its_own_epoch(scene, monkeypatch):
    images, truth, given = scene
    starts = {10: 1, 20: 3}
    monkeypatch.setattr(module, "start_of_correction", lambda curve, threshold: starts[round(100 * curve[0])])
    recipe = ADELE(scales="1", every=1)
    _, memory = begun(recipe, images)
    for number in range(5):
        memory[COUNTS] = counts_of(50, 10, 20)
        figures = ended(recipe, memory, images, given, number)
        assert memory[CURVE][number].tolist() == pytest.approx([0.5, 0.1, 0.2])
        assert not memory[COUNTS].any()
        on = torch.tensor([False, number >= 1, number >= 3])  # finished - 1 >= t_c
        assert memory[START].tolist() == [-1, 1 if on[1] else -1, 3 if on[2] else -1]
        if not on.any():
            assert (memory[LABELS] == AS_GIVEN).all()
        else:
            wanted = correct_masks(given, truth, torch.ones_like(truth).bool(), on)
            assert torch.equal(memory[LABELS][4:10].long(), wanted)
            assert figures["start_1"] == 1
    assert (memory[LABELS][:4] == AS_GIVEN).all()
    assert torch.equal(memory[LABELS][4:10].long(), torch.where(given == IGNORED, IGNORED, truth))


def test_a_decision_stays(scene, monkeypatch):
    images, _, given = scene
    recipe = ADELE(scales="1", every=1)
    _, memory = begun(recipe, images)
    for number, start in enumerate((1, 1, 0, 9)):
        monkeypatch.setattr(module, "start_of_correction", lambda curve, threshold, start=start: start)
        memory[COUNTS] = counts_of(50, 10, 20)
        ended(recipe, memory, images, given, number)
    assert memory[START].tolist() == [-1, 1, 1]


def test_a_class_is_corrected_once_in_a_block(scene):
    images, _, given = scene
    recipe = ADELE(scales="1", every=4, starts="2+5")
    _, memory = begun(recipe, images)
    changed, blocks = [], []
    for number in range(13):
        memory[COUNTS] = counts_of(50, 10, 20)
        changed.append("changed" in ended(recipe, memory, images, given, number))
        blocks.append(memory[BLOCK].tolist())
    assert [n for n, here in enumerate(changed) if here] == [2, 4, 5, 8, 12]
    assert blocks[5] == [-1, 1, 1]


def test_one_start_for_all_classes_and_none(scene):
    images, _, given = scene
    for parameters, on in (({"starts": "1"}, [-1, 1, 1]), ({"correct": False}, [-1, -1, -1])):
        recipe = ADELE(scales="1", **parameters)
        _, memory = begun(recipe, images)
        for number in range(3):
            memory[COUNTS] = counts_of(50, 10, 20)
            ended(recipe, memory, images, given, number)
        assert memory[START].tolist() == on


def test_corrections_accumulate_or_start_from_the_given_labels(scene):
    images, truth, given = scene
    unsure = Classifier(Grey(sharp=0.1))
    for accumulate, wanted in ((True, truth), (False, given)):
        recipe = ADELE(scales="1", starts="1", every=1, accumulate=accumulate)
        _, memory = begun(recipe, images)
        for number, model in enumerate((None, None, None, unsure)):  # the last one is sure of nothing
            memory[COUNTS] = counts_of(50, 10, 20)
            ended(recipe, memory, images, given, number, model)
        assert torch.equal(memory[LABELS][4:10].long(), torch.where(given == IGNORED, IGNORED, wanted))


def test_of_three_scales_the_confidence_is_that_of_a_third_of_the_logits(scene):
    images, truth, given = scene
    model = Classifier(Grey(sharp=3.0))  # softmax of (0, -1.5, -3): 0.79; of a third: 0.51
    for scales, wanted in (("1", truth), ("0.7+1+1.5", given)):
        recipe = ADELE(scales=scales, starts="1", every=1)
        _, memory = begun(recipe, images)
        for number in range(2):
            memory[COUNTS] = counts_of(50, 10, 20)
            ended(recipe, memory, images[:, :, 4:, 4:].repeat(1, 1, 2, 2), given, number, model)
        after = module.overlaid(given, memory[LABELS][4:10])
        assert torch.equal(after, given) == (wanted is given)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"scales": "0.7+1.5"}, "must hold 1 once"), ({"starts": "3+4+5"}, "starts names 3 epochs; give one for all")],
)
def test_wrong_parameters_are_one_line(scene, parameters, message):
    with pytest.raises(ParameterError, match=message):
        begun(ADELE(**parameters), scene[0])


def test_several_processes_are_refused(scene, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(ParameterError, match=r"train it in one process \(--devices 1\)"):
        begun(ADELE(), scene[0])


def test_corrected_labels_come_with_the_fitted_model(squares):
    images, wrong, masks = squares
    training = Training(epochs=14, batch_size=4, lr=0.01, optimizer="adam", held_out=4, select="last", check_images=4)
    recipe = ADELE(scales="1", starts="9", every=2, foreground=0.5, background=0.5)
    done = fit(fresh("unet", images, classes=2, seed=0), images, wrong, [recipe], training)
    found = done.memory["adele"][LABELS]
    now = torch.where(found == AS_GIVEN, wrong, found)
    assert (now == masks).double().mean() > (wrong == masks).double().mean() + 0.02
    assert [c["start_1"] for c in done.progress.curves if "start_1" in c] == [9.0] * 5


def test_learned_scales_weigh_the_mixture_and_the_logits(scene, step_of):
    """`w = softmax(0, ln 3)`: q is of 1/4 and 3/4, and so are the logits of the cross-entropy."""
    images, _, given = scene
    recipe = ADELE(scales="0.75+1", learned_scales=True, sure=0.5)
    model = recipe.rebuild(Classifier(Grey()))
    setup = Setup(model, images, 3, 0, 1, 1, {}, lambda n: (images[:n], torch.zeros(n).long()), 10)
    recipe.begin(setup)
    weights = torch.zeros(2, requires_grad=True)
    with torch.no_grad():
        for one in (weights, model.net.get_parameter("scale_logarithms")):
            one.copy_(torch.tensor([1.0, 3.0]).log())
    step = step_of(model, images, given, classes=3, memory={"adele": setup.memory}, rows=torch.arange(4, 10))
    small = F.interpolate(images, (6, 6), mode="bilinear", align_corners=True)
    logits = [F.interpolate(model(small), (8, 8), mode="bilinear", align_corners=True), model(images)]
    w, p = weights.softmax(0), [z.softmax(1) for z in logits]
    assert w.tolist() == pytest.approx([0.25, 0.75])
    q = (w[0] * p[0] + w[1] * p[1]).clamp(1e-3, 1 - 1e-3)
    kl = sum((one * (one / q).log()).sum(1) for one in p)
    sure = (q.amax(1).masked_fill(given == IGNORED, 0).amax((1, 2)) >= 0.5)[:, None, None]
    entropies = [F.cross_entropy(w[s] * logits[s], given, ignore_index=IGNORED, reduction="none") for s in range(2)]
    wanted = (sum(e.mean() for e in entropies) + (kl * sure).mean()) / 2
    found = recipe.loss(step)
    assert found.item() == pytest.approx(wanted.item(), abs=1e-6)
    (by_hand,) = torch.autograd.grad(wanted, weights)
    (gradient,) = torch.autograd.grad(found, model.net.get_parameter("scale_logarithms"))
    assert by_hand.abs().max() > 1e-4
    assert torch.allclose(gradient, by_hand, atol=1e-6)
    assert step.figures == {"scale_0.75": pytest.approx(0.25), "scale_1": pytest.approx(0.75)}


def test_learned_scales_are_trained_resumed_and_left_out(squares, tmp_path):
    images, wrong, _ = squares
    recipe = ADELE(scales="0.5+1", learned_scales=True)
    options = {"batch_size": 8, "lr": 0.01, "optimizer": "adam", "held_out": 8, "check_images": 4, "select": "last"}
    training = Training(epochs=2, save_every=1, **options)
    whole = fit(fresh("unet", images, classes=2, seed=0), images, wrong, [recipe], training)
    weights = [c["scale_1"] for c in whole.progress.curves]
    assert len({0.5, *weights}) == 3
    assert "scale_logarithms" not in whole.last.net.state_dict()

    def loop():
        model = recipe.rebuild(fresh("unet", images, classes=2, seed=0))
        return Loop(model, Samples.of(images, wrong, 2), [recipe], training, run=RunDir(tmp_path))

    first, steps = loop(), []

    def stop():
        steps.append(1)
        if len(steps) == 4:
            raise KeyboardInterrupt

    first.renew = stop
    with pytest.raises(KeyboardInterrupt):
        first.train()
    again = loop()
    again.train(resume=True)
    for name, weight in whole.last.net.state_dict().items():
        assert torch.equal(again.kept().net.state_dict()[name], weight), name
