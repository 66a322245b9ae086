"""`LabelRecord`: how the classes of the data became those of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LabelRecord(BaseModel):
    """How labels became the model's, as `run.json` keeps it.

    Args:
        by: `names`; `positions` where nothing else is known: class n of the data is class n of the model; `nothing`
            where the labels are not used.
        classes: of the data that have a sample, each with the number of the model's class.
        why: what is not known, where they do not go by name.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    by: Literal["names", "positions", "nothing"]
    classes: dict[str, int] = Field(default_factory=dict)
    why: str = ""

    def line(self, classes: Sequence[str], most: int = 8) -> str:
        """One line for a person; empty where all classes of the data are called as the model's.

        Args:
            classes: the model's, in logit order.
            most: classes of the data to name.
        """
        if self.by == "nothing":
            return f"not used, for {self.why}"
        pairs = [(name, classes[k] if k < len(classes) else "no class") for name, k in self.classes.items()]
        if self.by == "names":
            pairs = [(name, other) for name, other in pairs if name != other]
        mapping = ", ".join(f"{name} -> {other}" for name, other in pairs[:most])
        more = f", and {len(pairs) - most} more" if len(pairs) > most else ""
        if self.by == "names":
            return f"by name: {mapping}{more}" if mapping else ""
        return f"by position, for {self.why}: {mapping}{more}" if mapping else f"by position, for {self.why}"
