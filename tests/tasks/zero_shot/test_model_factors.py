"""Declared factors, groups at the same accuracy against least squares, and a language model's choices."""

import numpy as np
import pytest
import torch

from unshaken.core.batch import Batch
from unshaken.core.errors import ParameterError
from unshaken.tasks.zero_shot import FACTORS, ask, compare_choices, confusing_options, matched_difference
from unshaken.tasks.zero_shot.candidates import Candidate, check_candidates, key_of
from unshaken.tasks.zero_shot.choices import choose_within
from unshaken.tasks.zero_shot.model_factors import check_factor, parse_factors


def test_factors_are_declared_by_name():
    found = parse_factors({"architecture": "ViT", "training_size": 400, "fine_tuned": "standard"}, "m")
    assert [found.value(f) for f in FACTORS] == ["ViT", "not stated", "400", "standard", "not stated", "not stated"]
    assert found.line == "fine-tuned: standard"
    assert parse_factors({"family": "CLIP"}, "m").line == "CLIP"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"architectur": "ViT"}, "model 'm': there is no factor 'architectur'; did you mean 'architecture'"),
        ({"training_size": 0}, "model 'm': .*training_size"),
        ({"prompts": -1}, "model 'm': .*prompts"),
    ],
)
def test_factors_that_cannot_be_used(values, message):
    with pytest.raises(ParameterError, match=message):
        check_candidates({"m": Candidate(model="demo", factors=values)})


def test_models_that_cannot_be_named():
    with pytest.raises(ParameterError, match="there is no model"):
        check_candidates({})
    with pytest.raises(ParameterError, match="printable"):
        check_candidates({"a\n": Candidate(model="demo")})
    with pytest.raises(ParameterError, match="no factor 'size'"):
        check_factor("size")
    assert key_of(1, "?") == "1"


def test_groups_at_the_same_accuracy_are_least_squares_with_two_intercepts():
    rng = np.random.default_rng(0)
    accuracy = rng.random(12)
    groups = ["a"] * 5 + ["b"] * 6 + ["c"]
    values = 0.5 * accuracy + 0.2 * (np.arange(12) < 5) + 0.01 * rng.standard_normal(12)
    design = np.stack([accuracy[:11], np.arange(11) < 5, np.arange(11) >= 5], 1).astype(float)
    _slope, one, other = np.linalg.lstsq(design, values[:11], rcond=None)[0]
    found = matched_difference(values, accuracy, groups, "a", "b")
    assert found.value == pytest.approx(one - other)
    assert found.low < 0.2 < found.high
    assert found.n == 11
    assert matched_difference(values, accuracy, groups, "a", "c") is None  # one model tells no spread
    same = matched_difference([1, 2, 3, 5], [0.5] * 4, list("aabb"), "a", "b")
    assert same.value == -2.5  # all of one accuracy: plain means
    assert matched_difference([1, 2, 3, 5], [0.4, 0.4, 0.5, 0.5], list("aabb"), "a", "b") is None


LOGITS = torch.tensor([[3.0, 2, 1, 0], [0, 3, 2, 1], [1, 1, 5, 4]])
LABELS = torch.tensor([0, 2, 3])


def test_options_hold_the_truth_and_what_is_taken_for_it():
    options = confusing_options(LOGITS, LABELS, ["x", "y", "z"], count=2)
    assert [set(row) for row in options.tolist()] == [{0, 1}, {2, 1}, {3, 2}]
    alone = confusing_options(LOGITS[1:2], LABELS[1:2], ["y"], count=2)
    assert alone.tolist() == options[1:2].tolist()  # the order hangs on the image alone
    for count in (1, 5):
        with pytest.raises(ParameterError, match=f"{count} options are wanted of 4 classes"):
            confusing_options(LOGITS, LABELS, ["x", "y", "z"], count=count)


def test_a_chooser_that_answers_well_badly_or_not_at_all():
    images = torch.zeros(3, 3, 2, 2)
    batch, options = Batch(images, LABELS, ("x", "y", "z")), np.array([[1, 0], [2, 1], [3, 2]])
    answers = iter([1, 7, ValueError("no such image")])

    def choose(image, question, names):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    found = ask(choose, batch, options, ["a", "b", "c", "d"])
    assert [c.chosen for c in found] == [0, None, None]
    assert [c.error for c in found] == ["", "the answer 7 is no number of an option, 0 to 1", "no such image"]
    assert choose_within(LOGITS, options).tolist() == [0, 1, 2]
    plain, chosen, both = compare_choices(found, LOGITS)
    assert (plain.value, chosen.value) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert (both.both_right, both.lost, both.gained) == (1, 0, 0)
    with pytest.raises(ParameterError, match="need the true class"):
        ask(choose, Batch(images, None, ("x", "y", "z")), options, ["a"])
