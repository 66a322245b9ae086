"""Blocks that are looked at: plots, strips of dots, pictures. Places are in per cent, so that they fit any width."""

from __future__ import annotations

from dataclasses import dataclass

from unshaken.report.blocks import Block, Text


@dataclass(frozen=True, slots=True)
class Point:
    """A mark in a plot; places are in per cent of the plot, from the left and from the top.

    Args:
        x: from the left.
        y: from the top.
        low: the interval's lower end, from the top.
        high: its upper end, from the top.
        text: in words.
        label: short, beside the mark; empty for none.
        right: pixels that the label stands to the right of the mark; left of it when negative.
        down: pixels that it stands below.
    """

    x: float
    y: float
    low: float
    high: float
    text: str
    label: str = ""
    right: float = 0
    down: float = 0


@dataclass(frozen=True, slots=True)
class Trace:
    """A line in a plot, with marks and intervals at its points.

    Args:
        name: what it shows.
        style: number of its colour and shape.
        points: from left to right.
        line: as SVG points.
        band: outline of the intervals as SVG points; empty for none.
        marked: its points are drawn.
        whiskers: the intervals of its points are drawn.
    """

    name: str
    style: int
    points: tuple[Point, ...]
    line: str
    band: str = ""
    marked: bool = True
    whiskers: bool = False


SHARES = ((0.0, "100"), (25.0, ""), (50.0, "50"), (75.0, ""), (100.0, "0"))
"""Lines across a plot of shares."""


@dataclass(frozen=True, slots=True)
class Plot:
    """Shares from 0 to 1 upwards against something, or other values where `rows` says so.

    Args:
        name: what it is about.
        axis: what the horizontal axis is.
        ticks: place in per cent and text.
        traces: the first is drawn on top.
        level: per cent from the top of the unchanged images' share; None for none.
        text: all of it in words.
        rows: lines across, in per cent from the top, with their text.
        marker: a place on the horizontal axis with its name; None for none.
        numbered: marks have their number in the place of a shape, and a label.
    """

    name: str
    axis: str
    ticks: tuple[tuple[float, str], ...]
    traces: tuple[Trace, ...]
    level: float | None
    text: str
    rows: tuple[tuple[float, str], ...] = SHARES
    marker: tuple[float, str] | None = None
    numbered: bool = False


@dataclass(frozen=True, slots=True)
class Plots(Block):
    """A group of plots.

    Args:
        plots: in order.
        size: `wide` below each other, `half` two beside each other, `small` several.
        keys: names of the traces, where all plots share them; empty where each plot has its own key.
    """

    plots: tuple[Plot, ...]
    size: str = "wide"
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dot:
    """A value on a strip: per cent from the left, in words, and whether it is the one that counts."""

    x: float
    text: str
    last: bool


@dataclass(frozen=True, slots=True)
class Lane:
    """Dots of one series with an interval.

    Args:
        name: of the series.
        dots: its values.
        low: the interval's lower end, per cent from the left.
        high: its upper end.
        tone: `own`, `other`, `better`, `worse` or `level`.
    """

    name: str
    dots: tuple[Dot, ...]
    low: float
    high: float
    tone: str = "own"

    @property
    def ends(self) -> tuple[float, float]:
        """The leftmost and the rightmost dot."""
        return min(d.x for d in self.dots), max(d.x for d in self.dots)


@dataclass(frozen=True, slots=True)
class Strip:
    """A row of lanes with its name on the left and a value on the right, each with a note."""

    name: str
    note: str
    lanes: tuple[Lane, ...]
    value: str
    value_notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Strips(Block):
    """Rows of dots with intervals on one axis.

    Args:
        caption: what they show.
        heads: of the names and of the values.
        ticks: texts at 0, 50 and 100 per cent.
        strips: the rows.
        zero: per cent from the left of a dashed line; None for none.
        keys: names of the lanes; empty where there is one.
    """

    caption: str
    heads: tuple[str, str]
    ticks: tuple[str, str, str]
    strips: tuple[Strip, ...]
    zero: float | None = None
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture: its data address, what it shows in words, and a short label."""

    address: str
    text: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """Pictures that belong together, with lines about them."""

    pictures: tuple[Picture, ...]
    lines: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Gallery(Block):
    """A gallery of exhibits beside each other.

    Args:
        exhibits: in order.
        pixels: small pictures, shown enlarged pixel by pixel.
        lines_at_side: lines stand beside the pictures, for texts to read, and not below them.
        large: single pictures are shown large, for details.
    """

    exhibits: tuple[Exhibit, ...]
    pixels: bool = False
    lines_at_side: bool = False
    large: bool = False


@dataclass(frozen=True, slots=True)
class Layers:
    """A picture and another of the same size that lies over it, with lines about them."""

    picture: Picture
    over: Picture
    lines: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Overlay(Block):
    """Pictures with others over them, and one slider for how much the upper ones cover.

    Args:
        name: what the upper pictures are.
        layers: the pictures.
        pixels: small pictures, shown enlarged pixel by pixel.
        share: how much the upper ones cover at first, in per cent.
    """

    name: str
    layers: tuple[Layers, ...]
    pixels: bool = False
    share: int = 60


@dataclass(frozen=True, slots=True)
class PointMap(Block):
    """A map of images as points, drawn by the script `map.js`.

    Args:
        text: all of it in words.
        data: what the script draws, a JSON text; see `unshaken.report.figures.map`.
    """

    text: str
    data: str
