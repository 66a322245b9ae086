"""Tests of what a run directory holds make it by small runs, as those of the runner do."""

from tests.run.conftest import make as make
from tests.run.conftest import make_in as make_in
from tests.run.conftest import rows_of as rows_of
from tests.run.conftest import tiny as tiny
