"""Four searches in the ask/tell form: an attack, a sequential certificate, a detector and an explanation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scipy.stats import beta
from torch import Tensor, nn

from unshaken.core import Answer, Batch, Classifier, Gradient, Logits, SampleRng, State, Votes
from unshaken.core.query import Goal, Objective


class Line(nn.Module):
    """Logits (0, sum of pixels - bias): all is known by hand."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.bias = bias
        self.calls: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append(len(x))
        total = x.flatten(1).sum(1) - self.bias
        return torch.stack([torch.zeros_like(total), total], 1)


def line(bias: float = 0.0) -> Classifier:
    return Classifier(Line(bias), name="line").eval()


class Margin(Objective):
    """The second logit, to fall."""

    def __call__(self, answer: Answer) -> Tensor:
        return -answer.logits[:, 1]


class Below(Goal):
    """Predicted as class 0."""

    def __call__(self, points: Tensor, logits: Tensor) -> Tensor:
        return logits.argmax(1) == 0


class Walk(State):
    x: Tensor
    step: Tensor


class Descend:
    """An attack: walk against the sign of the gradient until class 0 is predicted."""

    def __init__(self, length: float, steps: int) -> None:
        self.length, self.steps = length, steps
        self.widths: list[int] = []
        self.gradients: list[Tensor] = []

    def start(self, batch: Batch, rng: SampleRng) -> Walk:
        return Walk(batch.images, torch.zeros(len(batch), dtype=torch.int64))

    def ask(self, state: Walk) -> Gradient:
        self.widths.append(len(state))
        return Gradient(state.x, of=Margin())

    def tell(self, state: Walk, answer: Answer) -> Walk:
        self.gradients.append(answer.gradient)
        return Walk(state.x + self.length * answer.gradient.sign(), state.step + 1)

    def done(self, state: Walk) -> Tensor:
        return state.step >= self.steps

    def result(self, state: Walk) -> Walk:
        return state

    def goal(self, state: Walk) -> Goal | None:
        return Below()


class Tally(State):
    clean: Tensor
    rng: SampleRng
    ones: Tensor
    drawn: Tensor
    verdict: Tensor


class Sequential:
    """A certificate: draw votes until a Clopper-Pearson bound says on which side of 1/2 class 1 is."""

    def __init__(self, sigma: float, draws: int, most: int, alpha: float) -> None:
        self.sigma, self.draws, self.most, self.alpha = sigma, draws, most, alpha

    def start(self, batch: Batch, rng: SampleRng) -> Tally:
        zeros = torch.zeros(len(batch), dtype=torch.int64)
        return Tally(batch.images, rng, zeros, zeros, zeros)

    def ask(self, state: Tally) -> Votes:
        draws = torch.full_like(state.drawn, self.draws)
        return Votes(state.clean, rng=state.rng, first=state.drawn, draws=draws, sigma=self.sigma)

    def tell(self, state: Tally, answer: Answer) -> Tally:
        ones, drawn = state.ones + answer.counts[:, 1], state.drawn + self.draws
        verdict = torch.tensor([side(int(k), int(n), self.alpha) for k, n in zip(ones, drawn, strict=True)])
        return state.replace(ones=ones, drawn=drawn, verdict=verdict)

    def done(self, state: Tally) -> Tensor:
        return (state.verdict != 0) | (state.drawn >= self.most)

    def result(self, state: Tally) -> Tally:
        return state

    def goal(self, state: Tally) -> Goal | None:
        return None


def side(successes: int, trials: int, alpha: float) -> int:
    """1 or -1 when the share is above or below 1/2 with error alpha, else 0."""
    low = beta.ppf(alpha, successes, trials - successes + 1) if successes else 0.0
    high = beta.ppf(1 - alpha, successes + 1, trials - successes) if successes < trials else 1.0
    return 1 if low > 0.5 else -1 if high < 0.5 else 0


class Temperature(Objective):
    """The largest log-probability at a temperature."""

    t: float

    def __call__(self, answer: Answer) -> Tensor:
        return F.log_softmax(answer.logits / self.t, 1).amax(1)


class OdinState(State):
    x: Tensor
    phase: Tensor
    score: Tensor


class Odin:
    """A detector: a small step that raises the confidence, then the confidence there; high means abnormal."""

    def __init__(self, t: float, eps: float) -> None:
        self.t, self.eps = t, eps

    def start(self, batch: Batch, rng: SampleRng) -> OdinState:
        zeros = torch.zeros(len(batch))
        return OdinState(batch.images, zeros.long(), zeros)

    def ask(self, state: OdinState) -> Gradient | Logits:
        first = bool((state.phase == 0).all())
        return Gradient(state.x, of=Temperature(self.t)) if first else Logits(state.x)

    def tell(self, state: OdinState, answer: Answer) -> OdinState:
        if answer.gradient is not None:
            return state.replace(x=state.x + self.eps * answer.gradient.sign(), phase=state.phase + 1)
        score = -(answer.logits / self.t).softmax(1).amax(1)
        return state.replace(score=score, phase=state.phase + 1)

    def done(self, state: OdinState) -> Tensor:
        return state.phase == 2

    def result(self, state: OdinState) -> OdinState:
        return state

    def goal(self, state: OdinState) -> Goal | None:
        return None


class MapState(State):
    clean: Tensor
    drop: Tensor
    finished: Tensor


class Occlusion:
    """An explanation: how far the predicted class's logit falls when a window is greyed, one window a query point."""

    def __init__(self, window: int) -> None:
        self.window = window

    def start(self, batch: Batch, rng: SampleRng) -> MapState:
        n, places = len(batch), (batch.images.shape[2] // self.window) * (batch.images.shape[3] // self.window)
        return MapState(batch.images, torch.zeros(n, places), torch.zeros(n, dtype=torch.bool))

    def ask(self, state: MapState) -> Logits:
        return Logits(torch.stack([state.clean, *self.covered(state.clean)], 1))

    def tell(self, state: MapState, answer: Answer) -> MapState:
        top = answer.labels[:, 0].view(-1, 1, 1).expand(-1, answer.logits.shape[1], 1)
        logit = answer.logits.gather(2, top)[..., 0]
        return state.replace(drop=logit[:, :1] - logit[:, 1:], finished=torch.ones_like(state.finished))

    def done(self, state: MapState) -> Tensor:
        return state.finished

    def result(self, state: MapState) -> MapState:
        return state

    def goal(self, state: MapState) -> Goal | None:
        return None

    def covered(self, images: Tensor) -> list[Tensor]:
        found = []
        for i in range(0, images.shape[2], self.window):
            for j in range(0, images.shape[3], self.window):
                copy = images.clone()
                copy[:, :, i : i + self.window, j : j + self.window] = 0.5
                found.append(copy)
        return found
