"""Branching over the units in doubt: the linear relaxation first, and a unit is decided only where it lies."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

from torch import Tensor

from unshaken.certify.smt._encoding import Choice, Encoding

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
        """What is said of a time-out."""
        return f"the solver was stopped after {self.seconds:g} s"
