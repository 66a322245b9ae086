"""The budget of adversarial recipes, and the attack inside."""

from __future__ import annotations

import pytest

from unshaken.core.errors import ParameterError
from unshaken.harden.engine.recipe import Threat
from unshaken.harden.recipes.adversarial.at import AdversarialTraining


def test_held_out_images_are_attacked_with_the_budget_of_training():
    assert AdversarialTraining(norm="l2", eps=0.5).threat == Threat("l2", 0.5)


def test_defaults_are_the_usual_budget_and_ten_steps_of_a_quarter():
    made = AdversarialTraining()
    assert made.threat == Threat("linf", 8 / 255)
    assert (made.steps, made.step_size, made.attack) == (10, 0.25, "pgd")


def test_the_inner_attack_gets_the_steps_that_it_knows():
    pgd = AdversarialTraining(steps=3, step_size=0.5).search()
    assert (pgd.info.name, pgd.steps, pgd.step_size) == ("pgd", 3, 0.5)
    assert AdversarialTraining(steps=3, attack="fgsm").search().info.name == "fgsm"


@pytest.mark.parametrize(
    ("attack", "message"),
    [("autoattack", "is no single search in a norm: take pgd"), ("pdg", "did you mean 'pgd'")],
)
def test_an_attack_that_is_no_single_search_is_refused(attack, message):
    with pytest.raises(ParameterError, match=message):
        AdversarialTraining(attack=attack)
