"""A region's network for a solver of linear arithmetic: rational numbers, and a variable for each unit in doubt."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from fractions import Fraction
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from unshaken.certify.bounds.interval import Bounds
from unshaken.certify.engine.layers import Affine, Chain, MaxPool, ReLU
from unshaken.certify.smt._region import Region
from unshaken.core.imports import need

Z3 = Any
"""An object of the solver, which brings no types."""


def solver_module() -> ModuleType:
    """The solver's package.

    Raises:
        MissingExtra: it is absent.
    """
    return need("z3", "z3-solver", "smt", "exact verification")


@dataclass(frozen=True, slots=True)
class Choice:
    """`unit = max(terms)`: a ReLU with the terms s and 0, or a window of a pooling. The rules say only `>=`."""

    unit: Z3
    terms: list[Z3]


class Encoding:
    """The values of a chain's layers over a region, as affine functions of variables.

    Each value is `base + columns . variables` in float64: the variables are the free pixels' offsets from their lower
    bounds, then units that may be on or off, so a linear layer passes a base and a few columns, never the whole
    input. Every number enters the solver as the fraction that it is. What float64 sums round on the way is 2^29 times
    less than float32's rounding, which the query allows for.

    Args:
        chain: the classifier.
        region: the box.
        bounds: of the inputs of each layer, `[1, ...]` each.
        z3: the solver's package.
        context: of the solver.
    """

    def __init__(self, chain: Chain, region: Region, bounds: list[Bounds], z3: ModuleType, context: Z3) -> None:
        self.chain, self.bounds, self.z3, self.context = chain, bounds, z3, context
        self.rules: list[Z3] = []
        self.choices: list[Choice] = []
        low, high = region.lower.double(), region.upper.double()
        self.free = self.variables = [self.real(f"x{i}") for i in range(len(low))]
        self.lower = low
        for offset, a, b in zip(self.free, low.tolist(), high.tolist(), strict=True):
            self.rules += [offset >= 0, offset <= self.number(Fraction(b) - Fraction(a))]
        shape = region.image.shape
        self.base = region.filled(region.lower[None]).to(chain.device, torch.float64)[0]
        columns = torch.eye(region.image.numel(), dtype=torch.float64, device=chain.device)
        self.columns = columns[region.free.to(chain.device)].view(-1, *shape)

    def run(self, layers: int) -> None:
        """Encode the first `layers` layers."""
        for layer, inside in zip(self.chain.layers[:layers], self.bounds, strict=False):
            if isinstance(layer, Affine):
                self.base = layer.forward(self.base[None])[0]
                self.columns = layer.map(self.columns)
            elif isinstance(layer, ReLU):
                self.switch(inside)
            elif isinstance(layer, MaxPool):
                self.pool(layer, inside)
            else:
                self.base = self.base.reshape(layer.target)
                self.columns = self.columns.reshape(-1, *layer.target)

    def switch(self, inside: Bounds) -> None:
        """ReLU: a unit that is on stays as it is, one that is off is 0, any other becomes a variable."""
        low, high = (v[0].flatten() for v in inside)
        base, columns = self.base.flatten(), self.columns.flatten(1)
        units = ((low < 0) & (high > 0)).nonzero().flatten()
        fresh = []
        for unit in units.tolist():
            total = self.value(base[unit], columns[:, unit])
            fresh.append(self.relu(total, float(low[unit]), float(high[unit])))
        on = low >= 0
        self.grown((base * on).view_as(self.base), (columns * on).view_as(self.columns), units, fresh)

    def relu(self, total: Z3, low: float, high: float) -> Z3:
        """A variable for `max(total, 0)` and its triangle: above both, below the line through the ends."""
        unit = self.real(f"h{len(self.choices)}")
        # the line is u (s - l) / (u - l); with its slope rounded up it lies above, for s is at least l
        slope = math.nextafter(high / (high - low), 2)
        self.rules += [unit >= 0, unit >= total]
        self.rules.append(unit <= self.number(Fraction(slope)) * (total - self.number(Fraction(low))))
        self.choices.append(Choice(unit, [total, self.number(Fraction(0))]))
        return unit

    def pool(self, layer: MaxPool, inside: Bounds) -> None:
        """Max pooling: a window with one member that exceeds the others is that member, any other a variable."""
        low, high = (v[0].flatten() for v in inside)
        base, columns = self.base.flatten(), self.columns.flatten(1)
        windows = layer.members().flatten(0, 2).tolist()
        out, through = base.new_zeros(len(windows)), columns.new_zeros(len(columns), len(windows))
        units, fresh = [], []
        for place, window in enumerate(windows):
            inner = [m for m in window if m >= 0]
            most = max(float(low[m]) for m in inner)
            rivals = [m for m in inner if float(high[m]) >= most]
            if len(rivals) == 1:
                out[place], through[:, place] = base[rivals[0]], columns[:, rivals[0]]
                continue
            unit, totals = self.real(f"h{len(self.choices)}"), [self.value(base[m], columns[:, m]) for m in rivals]
            self.rules += [
                *(unit >= t for t in totals),
                unit <= self.number(Fraction(max(float(high[m]) for m in rivals))),
            ]
            self.choices.append(Choice(unit, totals))
            units.append(place)
            fresh.append(unit)
        at = torch.tensor(units, dtype=torch.int64, device=base.device)
        self.grown(out.view(layer.target), through.view(-1, *layer.target), at, fresh)

    def grown(self, base: Tensor, columns: Tensor, units: Tensor, fresh: list[Z3]) -> None:
        """The next values, with one more column for each new variable."""
        extra = base.new_zeros(len(fresh), base.numel())
        extra[torch.arange(len(fresh), device=units.device), units] = 1.0
        self.variables = [*self.variables, *fresh]
        self.base, self.columns = base, torch.cat([columns, extra.view(-1, *base.shape)])

    def value(self, base: Tensor, columns: Tensor) -> Z3:
        """An affine function of the variables as a term."""
        parts = [
            self.number(Fraction(c)) * v for c, v in zip(columns.tolist(), self.variables, strict=True) if c != 0.0
        ]
        return self.z3.Sum([self.number(Fraction(float(base))), *parts])

    def logit_difference(self, first: int, second: int) -> Z3:
        """`z_first - z_second` at the end of the chain."""
        return self.value(self.base[first] - self.base[second], self.columns[:, first] - self.columns[:, second])

    def number(self, value: Fraction) -> Z3:
        """A rational constant."""
        return self.z3.Q(value.numerator, value.denominator, self.context)

    def real(self, name: str) -> Z3:
        """A fresh variable."""
        return self.z3.Real(name, self.context)

    def solution(self, model: Z3) -> Tensor:
        """The free pixels' values in a model that the solver found, float64 `[D]`."""
        found = [
            float(Fraction(low) + self.read(model, v)) for v, low in zip(self.free, self.lower.tolist(), strict=True)
        ]
        return torch.tensor(found, dtype=torch.float64)

    def read(self, model: Z3, term: Z3) -> Fraction:
        """The value of a term in a model; of an algebraic number, or one of thousands of digits, to 60 digits."""
        value = model.eval(term, model_completion=True)
        if self.z3.is_rational_value(value):
            try:
                return Fraction(value.as_fraction())
            except ValueError:  # more digits than Python reads at once
                return Fraction(value.as_decimal(60).rstrip("?"))
        return Fraction(value.approx(60).as_fraction())


BEYOND = Fraction(1, 1000)
"""How far beyond a tie a point is asked for first, so that float32 sees it too."""


class SolverStopped(Exception):
    """The solver stopped without an answer; the message has the reason."""


class Search:
    """Looks for points of a region where a logit reaches another.

    A relaxation without point is an answer at once; a solution in which every unit is what it should be, too. Else the
    unit that is farthest from it is decided, the way that the solution leans first (branching by largest ambiguity).

    Args:
        encoding: of the region's network; run before `begin`.
        seconds: for all that is looked for.
    """

    def __init__(self, encoding: Encoding, seconds: float) -> None:
        self.encoding, self.z3, self.seconds = encoding, encoding.z3, seconds
        self.solver = self.z3.SimpleSolver(ctx=encoding.context)
        self.calls, self.nodes, self.began = 0, 0, time.perf_counter()

    def begin(self) -> None:
        """Take over the rules of the encoding."""
        self.solver.add(*self.encoding.rules)

    def find(self, above: Any, slack: float) -> Tensor | None:
        """The free pixels' values at a point with `above >= -slack`, if possible beyond 0; None where there is none.

        Args:
            above: a logit less the label's.
            slack: at least 0.

        Raises:
            SolverStopped: out of time or memory.
        """
        return self.within([above >= -self.encoding.number(Fraction(slack))], above)

    def within(self, rules: list[Any], above: Any = None) -> Tensor | None:
        """The free pixels' values at a point that keeps further rules; None where there is none.

        Raises:
            SolverStopped: out of time or memory.
        """
        self.solver.push()
        try:
            self.solver.add(*rules)
            return self.descend(self.encoding.choices, above)
        finally:
            self.solver.pop()

    def descend(self, left: list[Choice], above: Any) -> Tensor | None:
        """A point below this node.

        Args:
            left: units that are not decided yet.
            above: what is to lie beyond 0 if possible; None for nothing.
        """
        self.nodes += 1
        if not self.satisfiable():
            return None
        model = self.solver.model()
        leaning = {id(c): [self.encoding.read(model, t) for t in c.terms] for c in left}
        gaps = [self.encoding.read(model, c.unit) - max(leaning[id(c)]) for c in left]
        if not any(gaps):
            point = self.encoding.solution(model)
            return point if above is None else self.beyond(left, leaning, above, point)
        choice = left[gaps.index(max(gaps))]
        values = leaning[id(choice)]
        rest = [c for c in left if c is not choice]
        for place in sorted(range(len(values)), key=lambda i: -values[i]):
            self.solver.push()
            try:
                self.solver.add(choice.unit == choice.terms[place])
                found = self.descend(rest, above)
            finally:
                self.solver.pop()
            if found is not None:
                return found
        return None

    def beyond(self, left: list[Choice], leaning: dict[int, list[Fraction]], above: Any, found: Tensor) -> Tensor:
        """With every unit as in a solution: a point well beyond the tie, else one beyond it, else the one found."""
        for goal in (BEYOND, Fraction(0)):
            self.solver.push()
            try:
                for choice in left:
                    values = leaning[id(choice)]
                    self.solver.add(choice.unit == choice.terms[values.index(max(values))])
                self.solver.add(above >= self.encoding.number(goal))
                if self.satisfiable():
                    return self.encoding.solution(self.solver.model())
            except SolverStopped:  # no time for a better one
                return found
            finally:
                self.solver.pop()
        return found

    def satisfiable(self) -> bool:
        """One call of the solver within the time left.

        Raises:
            SolverStopped: out of time or memory.
        """
        left = self.seconds - (time.perf_counter() - self.began)
        if left <= 0:
            raise SolverStopped(self.late)
        self.solver.set("timeout", max(1, int(1000 * left)))
        self.calls += 1
        try:
            answer = str(self.solver.check())
            why = self.solver.reason_unknown() if answer == "unknown" else ""
        except self.z3.Z3Exception as error:
            answer, why = "unknown", str(error)
        if answer == "unknown":
            late = any(word in why for word in ("timeout", "canceled"))
            raise SolverStopped(self.late if late else f"the solver stopped: {why}")
        return answer == "sat"

    @property
    def late(self) -> str:
        """The message of a time-out."""
        return f"the solver was stopped after {self.seconds:g} s"
