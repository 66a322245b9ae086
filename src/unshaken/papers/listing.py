"""`list_papers`: all papers, without running or importing their experiments."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from unshaken.core.registry import list_methods

if TYPE_CHECKING:
    from unshaken.papers.paper import Paper


@dataclass(frozen=True, slots=True)
class PaperInfo:
    """What is known of a paper before it is run.

    Args:
        slug: its name here.
        title: of the publication.
        claim: in one sentence.
        summary: the claim in at most a hundred characters.
        rule: how the verdict follows from the figures.
        reference: the publication, with an address.
        data: SPEC of the default data.
        model: SPEC of the default model.
    """

    slug: str
    title: str
    claim: str
    summary: str
    rule: str
    reference: str
    data: str
    model: str

    def to_json(self) -> dict[str, str]:
        """All fields."""
        return asdict(self)


def list_papers() -> list[PaperInfo]:
    """All papers, by slug."""
    found = []
    for method in list_methods("papers"):
        cls: type[Paper] = method.cls
        texts = cls.title, cls.claim, cls.summary or cls.claim, cls.rule
        found.append(PaperInfo(method.name, *texts, method.reference, cls.data, cls.model))
    return found
