import math

import pytest

from unshaken.report.sections.objects import mean_there


@pytest.mark.parametrize(
    ("values", "mean"), [([0.25, 0.75], 0.5), ([0.25, math.nan], 0.25), ([math.nan], None), ([], None)]
)
def test_what_is_not_there_does_not_count(values, mean):
    assert mean_there(values) == mean
