"""`LabelRecord`: how the labels of a data set became those of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer


class LabelRecord(BaseModel):
    """How labels became the model's, as `run.json` keeps it.

    Args:
        by: `names`; `positions` where nothing else is known: class n of the data is class n of the model; `nothing`
            where the labels are not used.
        classes: of the data that have a sample, each with the number of the model's class.
        why: what is not known, where they do not go by name.
        asked: whether the user wanted positions.
        within: whether predictions are scored among the data's own classes alone, `data`, or among those of a published
            set, by its name; empty where they are scored among all of the model's.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    by: Literal["names", "positions", "nothing"]
    classes: dict[str, int] = Field(default_factory=dict)
    why: str = ""
    asked: bool = False
    within: str = ""

    @model_serializer(mode="wrap")
    def _as_before(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As earlier versions wrote it, where nothing else is so: it decides what a run is, and whether it goes on."""
        return {key: value for key, value in serialize(self).items() if value or key not in ("asked", "within")}

    def line(self, classes: Sequence[str], most: int = 8, *, scoped: bool = True) -> str:
        """One line for a person; empty where all classes of the data are called as the model's.

        Args:
            classes: the model's, in logit order.
            most: classes of the data to name.
            scoped: whether to add among which classes predictions are scored, where that may be asked.
        """
        if self.by == "nothing":
            return f"not used: {self.why}"
        pairs = [(name, classes[k] if k < len(classes) else "no class") for name, k in self.classes.items()]
        if self.by == "names":
            pairs = [(name, other) for name, other in pairs if name != other]
        mapping = ", ".join(f"{name} -> {other}" for name, other in pairs[:most])
        more = f", and {len(pairs) - most} more" if len(pairs) > most else ""
        scope = self.scope(len(classes)) if scoped else ""
        way = f"by position, for {self.why}" if self.by == "positions" else "by name" if mapping or scope else ""
        return "; ".join(part for part in (": ".join(filter(None, (way, mapping + more))), scope) if part)

    def scope(self, outputs: int) -> str:
        """The classes among which predictions are scored, in words; empty where all of them occur in the data.

        Args:
            outputs: number of the model's classes.
        """
        occur = len(set(self.classes.values()))
        if self.within:
            whose = "that occur in the data" if self.within == "data" else f"of {self.within}"
            return f"scored among the {outputs:,} classes {whose}"
        if not 0 < occur < outputs:
            return ""
        among = f"scored among all {outputs:,} (?within=data in the model's SPEC: among the {occur:,})"
        return f"{occur:,} of the model's {outputs:,} classes occur; {among}"
