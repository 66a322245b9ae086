"""Which methods a run can execute, and what is said of the others."""

from __future__ import annotations

import pytest

from tests.processes import run_program
from unshaken.core.registry import list_methods
from unshaken.run.adapters import Line, conditions_of, has_adapter


def test_methods_of_four_rooms_run():
    rooms = {m.room for m in list_methods() if has_adapter(m.cls)}
    assert rooms == {"attack", "stress", "certify", "detect"}
    assert all(has_adapter(m.cls) for room in ("stress", "certify") for m in list_methods(room))
    assert not has_adapter(str)


def test_another_object_is_refused():
    with pytest.raises(TypeError, match="int is no method that a run can execute"):
        conditions_of(3, Line("x"))


def test_the_adapter_of_a_room_is_imported_with_its_first_method(tmp_path):
    program = (
        "import sys; from unshaken.stress import Fog; from unshaken.run.adapters import Line, conditions_of; "
        "conditions_of(Fog(), Line('fog')); print(*(m for m in sys.modules if m.startswith('unshaken.run.adapters.')))"
    )
    assert run_program(program, tmp_path / "printed").split() == ["unshaken.run.adapters.stress"]
