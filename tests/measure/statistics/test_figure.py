import json
import math

import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure import Figure


def test_json_has_the_five_fields_of_the_contract():
    text = json.dumps(Figure(0.25, 0.0, 0.5, 4, "clopper-pearson 95%").to_json())
    assert json.loads(text) == {"value": 0.25, "low": 0.0, "high": 0.5, "n": 4, "interval": "clopper-pearson 95%"}


def test_an_unbounded_end_is_null_in_json():
    text = json.dumps(Figure(1.0, -math.inf, math.inf, 2, "x").to_json(), allow_nan=False)
    assert json.loads(text)["low"] is None
    assert json.loads(text)["high"] is None


@pytest.mark.parametrize("ends", [(math.nan, 0, 1), (0.5, math.nan, 1), (0.5, 0, math.nan), (math.inf, 0, math.inf)])
def test_not_a_number_is_refused(ends):
    with pytest.raises(ParameterError, match="finite number"):
        Figure(*ends, 3, "x")


def test_a_value_outside_its_interval_is_refused():
    with pytest.raises(ParameterError, match=r"0\.6 is outside its interval \[0\.1, 0\.5\]"):
        Figure(0.6, 0.1, 0.5, 3, "x")


def test_a_figure_of_no_sample_is_refused():
    with pytest.raises(ParameterError, match="n = 0"):
        Figure(0.5, 0.0, 1.0, 0, "x")


def test_a_figure_cannot_be_changed():
    with pytest.raises(AttributeError):
        Figure(0.5, 0.0, 1.0, 1, "x").value = 0.6
