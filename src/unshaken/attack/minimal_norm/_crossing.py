"""What FAB asks: does a point fool, and how does the boundary lie where the next step starts?"""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.problem import Problem
from unshaken.core.device import is_needless
from unshaken.core.prediction import predict
from unshaken.core.query import Answer, Goal, Passes, Query


class Crossing(Query):
    """Logits of points; then leads f of other classes and their gradients where the next step starts.

    Args:
        points: tested, `[N, C, H, W]`.
        problem: the samples' tasks.
        begin: where a new run starts, `[N, C, H, W]`.
        fresh: bool `[N]`: a new run starts now.
        rivals: int64 `[N, 1]`: the class whose lead is wanted; `[N, 0]` for those nearest to the label.
        beta: share of the way from the clean image that is kept after a success.
        candidates: classes nearest to the label whose leads are wanted.
    """

    problem: Problem
    begin: Tensor
    fresh: Tensor
    rivals: Tensor
    beta: float
    candidates: int

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        """A forward pass; unless the goal is met for all rows another, and a backward pass for each lead.

        The answer has the logits of `points`, and as `value` `[N, Q]` and `slopes` the leads at `following`. For a
        model with randomness of its own all are means of `passes.draws` passes; the classes are those of the first. A
        rejection stands for the label.
        """
        with torch.inference_mode():
            first = passes.forward(self.points)[0]
            looks = [first, *(passes.forward(self.points)[0] for _ in range(1, passes.draws))]
        stopped = None
        if goal is not None:
            with passes.method():
                stopped = goal(self.points, first.clone()).cpu()
            if bool(stopped.all()):
                return Answer(logits=first.clone(), labels=predict(first), stopped=stopped, cut=stopped)
        logits = self.problem.merge_rejection(torch.stack(looks).mean(0) if len(looks) > 1 else first.clone())
        with passes.method():
            start = self.following(logits).detach().requires_grad_(True)
        classes: tuple[Tensor, Tensor] | None = None
        sums: list[Tensor] = []
        for _ in range(passes.draws):
            with torch.enable_grad():
                z = self.problem.merge_rejection(passes.forward(start)[0])
                with passes.method():
                    classes = classes or self._classes(z.detach())
                    lead = z.gather(1, classes[0]) - z.gather(1, classes[1])
            last = lead.shape[1] - 1
            rows = [passes.gradient(lead[:, q], start, keep=q < last) for q in range(last + 1)]
            new = [lead.detach(), torch.stack(rows, 1) if last else rows[0][:, None]]
            sums = [a + b for a, b in zip(sums, new, strict=True)] if sums else new
        value, slopes = sums if passes.draws == 1 else [s / passes.draws for s in sums]
        return Answer(logits=logits, labels=predict(logits), value=value, slopes=slopes, stopped=stopped)

    def hit(self, logits: Tensor) -> Tensor:
        """Bool `[N]`: the points are of another class than the label, or of the one to be reached."""
        return (predict(logits) == self.problem.labels) == self.problem.targeted

    def following(self, logits: Tensor) -> Tensor:
        """Where the next step starts, `[N, C, H, W]`: at the point, back towards the image if it fools, or anew."""
        clean = self.problem.ball.clean
        kept = torch.where(self.hit(logits), self.beta, 1.0).to(clean).view(-1, 1, 1, 1)
        back = torch.where(kept == 1, self.points, torch.lerp(clean, self.points, kept))
        return back if is_needless(self.fresh) else torch.where(self.fresh.view(-1, 1, 1, 1), self.begin, back)

    def _classes(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The classes `[N, Q]` whose lead is wanted, and those `[N, 1]` over which."""
        labels = self.problem.labels[:, None]
        if self.problem.targeted:
            return labels, logits.scatter(1, labels, -torch.inf).argmax(1, keepdim=True)
        if self.rivals.shape[1]:
            return self.rivals, labels
        lead = (logits - logits.gather(1, labels)).abs_().scatter_(1, labels, torch.inf)
        return lead.topk(min(self.candidates, logits.shape[1] - 1), largest=False).indices, labels
