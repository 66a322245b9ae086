"""PGD whose changes keep to a band of frequencies."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat
from typing_extensions import override

from unshaken.attack.engine.problem import Problem
from unshaken.attack.gradient.pgd import PGD, PGDState
from unshaken.core.oracle import required
from unshaken.core.query import Answer
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.filters import band_pass


class BandLimitedPGD(PGD):
    """`x <- P(clean + B(x + a s(g) - clean))`, B the band `low < rho <= high`, P the ball cut with the box.

    The projection after the band may leave the band a little, where the ball or the box cuts.
    """

    low: float = Field(-1.0, description="lower end of the band in bins; below 0 the mean is free too")
    high: NonNegativeFloat = Field(8.0, description="upper end of the band in bins")

    @override
    def start(self, problem: Problem, rng: SampleRng) -> PGDState:
        state = super().start(problem, rng)
        ball = problem.ball
        return state.replace(x=ball.project(ball.clean + band_pass(state.x - ball.clean, self.low, self.high)))

    @override
    def tell(self, state: PGDState, answer: Answer) -> PGDState:
        ball = state.problem.ball
        direction = ball.steepest(required(answer.gradient), state.x)
        change = state.x + self.step_size * ball.radius * direction - ball.clean
        x = ball.project(ball.clean + band_pass(change, self.low, self.high))
        return state.replace(x=x, step=state.step + 1)
