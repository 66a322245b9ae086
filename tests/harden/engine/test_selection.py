"""The figure that chooses the checkpoint, by what was asked for and what there is."""

from __future__ import annotations

import pytest

from unshaken.core.errors import ParameterError
from unshaken.harden.engine.selection import selection_of
from unshaken.harden.engine.training import Training


@pytest.mark.parametrize(
    ("select", "threat", "chosen"),
    [
        ("auto", True, "robust"),
        ("auto", False, "clean"),
        ("clean", True, "clean"),
        ("last", True, "last"),
        ("robust", True, "robust"),
    ],
)
def test_auto_is_robust_where_a_recipe_has_a_threat(select, threat, chosen):
    training = Training(select=select)
    assert selection_of(training, None, threat=threat, labelled=True) == chosen
    assert selection_of(training, lambda model, held: 0.5, threat=threat, labelled=True) == "repair"


def test_without_labels_it_is_the_last():
    for select in ("auto", "last"):
        assert selection_of(Training(select=select), None, threat=True, labelled=False) == "last"
    for given in ({"select": "robust"}, {"select": "clean"}, {"max_clean_loss": 0.0}):
        with pytest.raises(ParameterError, match="needs accuracy on held-out images, and the data has no labels"):
            selection_of(Training(**given), None, threat=True, labelled=False)
    with pytest.raises(ParameterError, match="validation needs accuracy"):
        selection_of(Training(), lambda model, held: 0.5, threat=True, labelled=False)


def test_robust_needs_a_threat():
    with pytest.raises(ParameterError, match="select=robust needs a recipe with a threat"):
        selection_of(Training(select="robust"), None, threat=False, labelled=True)
