"""Rows to choose by and rows to judge by."""

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.papers.frame.roles import Roles, check_role, choosing

ROLES = Roles(np.array([True, True, False, False]))
VALUES = np.array([1, 2, 3, 4])


def test_each_part_of_the_rows_is_seen_at_its_time_alone():
    assert ROLES.rows(VALUES).tolist() == [3, 4]
    with choosing():
        assert ROLES.rows(VALUES).tolist() == [1, 2]
        assert ROLES.rows(VALUES, VALUES > 1).tolist() == [2]
    assert ROLES.rows(VALUES, VALUES > 3).tolist() == [4]


def test_an_error_ends_choosing():
    with pytest.raises(RuntimeError), choosing():
        raise RuntimeError
    assert ROLES.rows(VALUES).tolist() == [3, 4]


def test_a_set_with_one_role_is_refused_in_the_other():
    check_role("photos", chooses=False)
    with pytest.raises(ParameterError, match="'calibration' serve to choose by, not to judge by"):
        check_role("calibration", chooses=True)
    with choosing():
        check_role("calibration", chooses=True)
        with pytest.raises(ParameterError, match="'photos' serve to judge by, not to choose by"):
            check_role("photos", chooses=False)
