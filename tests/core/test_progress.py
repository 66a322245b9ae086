"""Progress as events."""

from __future__ import annotations

import pytest

from unshaken.core.progress import Event, listening, track


def test_events_tell_the_whole_story():
    events = []
    with listening(events.append), track("load", 3) as task:
        task.advance()
        task.advance(2, note="ok")
    assert [(e.task, e.name, e.done, e.total, e.closed, e.note) for e in events] == [
        (1, "load", 0, 3, False, ""),
        (1, "load", 1, 3, False, ""),
        (1, "load", 3, 3, False, "ok"),
        (1, "load", 3, 3, True, "ok"),
    ]
    assert [e.seconds for e in events] == sorted(e.seconds for e in events)


def test_pieces_nest_with_numbers_of_their_own():
    events = []
    with listening(events.append):
        with track("outer", 1) as outer:
            with track("inner", 1) as inner:
                inner.advance()
            outer.advance()
        with track("after"):
            pass
    assert [(e.task, e.name) for e in events if e.closed] == [(2, "inner"), (1, "outer"), (1, "after")]
    assert next(e for e in events if e.name == "after").total is None


def test_nobody_listens_unless_asked():
    events = []
    with track("silent", 1) as task:
        task.advance()
    with listening(events.append):
        with listening(None), track("quiet", 1) as task:
            task.advance()
        assert events == []
        with track("loud"):
            pass
    assert {e.name for e in events} == {"loud"}
    with track("silent again"):
        pass
    assert {e.name for e in events} == {"loud"}


def test_a_piece_that_fails_is_closed():
    events = []

    def fail():
        with listening(events.append), track("fails", 2) as task:
            task.advance()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (events[-1].done, events[-1].closed) == (1, True)


def test_rate_and_time_to_go():
    assert Event(1, "x", done=4, total=10, seconds=2).rate == 2
    assert Event(1, "x", done=4, total=10, seconds=2).eta == 3
    assert Event(1, "x", done=4, total=None, seconds=2).eta is None
    assert Event(1, "x", done=0, total=10, seconds=2).eta is None
    assert Event(1, "x", done=0, total=10, seconds=0).rate == 0
