"""What a notebook shows: boxes of facts, and bars while something runs."""

import sys
import types
from html.parser import HTMLParser

import pytest

from unshaken.core import progress
from unshaken.core.notebook import facts_card
from unshaken.core.progress import Event, bar, listening, notebook_bars, track


class Display(types.ModuleType):
    """Stands for `IPython.display`."""

    def __init__(self):
        super().__init__("IPython.display")
        self.log = []

    def HTML(self, text):
        return text

    def display(self, drawn, display_id):
        self.log.append(drawn)
        return types.SimpleNamespace(update=self.log.append)


@pytest.fixture
def in_notebook(monkeypatch):
    """A process that looks like a notebook's kernel."""
    display, python = Display(), types.ModuleType("IPython")
    python.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    python.display = display
    monkeypatch.setitem(sys.modules, "IPython", python)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    return display


def test_a_task_draws_bars_in_a_notebook_and_takes_them_away(in_notebook):
    with track("audit", 4) as outer:
        outer.advance(1)
        with track("inner", 2) as inner:
            inner.advance(2, note="<0.5>")
    log = in_notebook.log
    assert [text.partition(" ")[0] for text in log] == ["<div>audit"] * 2 + ["<div>inner"] * 2 + ["", ""]
    assert 'value="1" max="4"' in log[1]
    assert "100%" in log[3]
    assert "&lt;0.5&gt;" in log[3]


def test_a_listener_takes_the_place_of_bars(in_notebook):
    events = []
    with listening(events.append), track("audit", 1):
        pass
    with listening(None), track("audit", 1):
        pass
    assert (len(events), in_notebook.log) == (2, [])


def test_drawings_are_rare(in_notebook, monkeypatch):
    monkeypatch.setattr(progress, "INTERVAL", 3600.0)
    with track("audit", 1000) as task:
        for _ in range(1000):
            task.advance()
    assert len(in_notebook.log) == 2


def test_elsewhere_nothing_is_drawn(monkeypatch):
    python = types.ModuleType("IPython")
    monkeypatch.setitem(sys.modules, "IPython", python)
    python.get_ipython = lambda: None
    assert notebook_bars() is None
    python.get_ipython = object  # a shell in a terminal has no kernel
    assert notebook_bars() is None


def test_the_time_to_go_is_in_words():
    event = Event(1, "a", 1, 100, seconds=60)
    assert "about 1 h 39 min to go" in bar(event)
    assert "to go" not in bar(Event(1, "a", 0, None, seconds=1))


def test_a_box_is_escaped_and_short():
    text = facts_card("<script>", {"<b>": "x" * 1000}, "&")
    assert "<script>" not in text
    assert "<b>" not in text
    assert len(text) < 3000
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append(tag)
    parser.feed(text)
    assert tags == ["style", "div", "h1", "dl", "dt", "dd", "p"]


def test_lengths_and_times_by_hand():
    assert "x" * 300 in facts_card("a", {"b": "x" * 300})
    assert f"{'x' * 297}..." in facts_card("a", {"b": "x" * 301})
    assert "<p" not in facts_card("a", {"b": 1}).partition("</style>")[2]
    assert bar(Event(1, "a", 1234, None, seconds=1)) == "<div>a <progress></progress> 1,234</div>"
    assert bar(Event(1, "a", 0, 0, seconds=1, note="n")) == (
        '<div>a <progress value="0" max="1e-09"></progress> 0% n</div>'
    )
    for left, text in ((59.4, "59 s"), (61, "1 min 1 s"), (3599, "59 min 59 s"), (7260, "2 h 1 min")):
        assert f"%, about {text} to go</div>" in bar(Event(1, "a", 1, 1 + left, seconds=1))
