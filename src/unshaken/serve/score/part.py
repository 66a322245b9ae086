"""`score_part`: the score endpoint as a part of a server."""

from __future__ import annotations

from unshaken.serve.part import Part
from unshaken.serve.score import endpoint
from unshaken.serve.score.history import History
from unshaken.serve.score.limits import Limits
from unshaken.serve.score.scorer import Scorer
from unshaken.serve.score.service import ScoreService


def score_part(scorer: Scorer, *, limits: Limits | None = None, history: History | None = None) -> Part:
    """The addresses below `/v1`.

    Args:
        scorer: answers.
        limits: on requests.
        history: where windows of what was scored are kept; None for nowhere.
    """
    service = ScoreService(scorer, limits or Limits(), history)
    return Part(
        "score",
        service,
        [endpoint.counted, endpoint.router],
        most_bytes={"/v1/": service.limits.bytes},
        programs=("/v1/",),
        lifespan=service.lifespan,
    )
