"""The tables and the record of a run: a row a sample for maps and biases, else a row a unit, a layer or a quantity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, Field, NonNegativeInt

from unshaken.core.documents import validate
from unshaken.core.errors import RunError
from unshaken.core.part import Condition, Part
from unshaken.core.tables import declare_table
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

ATTRIBUTIONS = declare_table(
    "attributions",
    "id string, condition string, method string, label int64, explained int64, prediction int64, "
    "confidence float, gap double, constant bool, forwards int64, backwards int64, seconds double, error string",
)
"""`explained` is the class that the map explains; `gap`, how far its sum is from the total that it should have;
`constant`, whether it has one value everywhere and so ranks no pixel."""

MAP_METRICS = declare_table(
    "map_metrics",
    "id string, condition string, method string, metric string, value double, forwards int64, backwards int64, "
    "seconds double, error string",
)
"""`condition` and `method` are those of the map; `metric` judges it."""

OBJECT_MASKS = declare_table(
    "object_masks",
    "id string, condition string, method string, object_size double, error string",
)
"""`object_size` is the share of what the model sees that the mask covers."""

UNITS = declare_table(
    "units",
    "condition string, method string, layer string, unit int64, threshold double, exemplars string[], "
    "values float[], description string, category string, score double, log_p_given double, log_p double, "
    "agreement double, effect double, error string",
)
"""`score` chose the description (an intersection over union, or a PMI); `effect` is what the unit's absence costs."""

FILTERS = declare_table(
    "filters",
    "condition string, method string, model string, layer string, depth double, size int64, filters int64, "
    "sparsity double, entropy double, random_entropy double, orthogonality double, smoothness double, "
    "degenerate string, error string",
)
"""`random_entropy` is the lower edge of the entropies of as many Gaussian filters."""

BIASES = declare_table(
    "biases",
    "id string, condition string, method string, model string, stimulus string, first_cue int64, "
    "second_cue int64, prediction int64, confidence float, correct bool, forwards int64, backwards int64, "
    "seconds double, error string",
)
"""`first_cue` and `second_cue` are the classes of the two cues in conflict, such as shape and texture."""

GEOMETRY = declare_table(
    "geometry",
    "condition string, method string, model string, layer string, depth double, quantity string, value double, "
    "low double, high double, n int64, error string",
)
"""A quantity of the data (`layer` empty) or of a layer's representation of it, with its interval."""

TEXTURES = declare_table(
    "textures",
    "id string, condition string, method string, height int64, width int64, contrast double, "
    "horizontal_seam double, vertical_seam double, seam_fault double, border_energy double, tile_score double, "
    "error string",
)
"""How well each texture tiles, by two closed forms and, where there is a network, by its score."""


def table_rows(table: str, condition: str, method: str, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """Make the table of a method's rows.

    Args:
        table: one of those above.
        condition: what they are called in this run.
        method: its registry name.
        columns: by name; those left out are null.
    """
    return table_of(Part(table, Condition(condition, method), dict(columns)))


RECORD = "explain.json"


class MethodRecord(BaseModel):
    """Record of one method: its parameters, figures and cost.

    Args:
        method: its registry name.
        params: its parameters.
        group: `attribution`, `units`, `filters`, `biases`, `geometry` or `textures`.
        table: of its rows.
        figures: name to a figure's fields.
        remarks: what a reader must know beside them.
        extra: further facts for the page; of maps `over_control`: what each metric is above the random map's, paired.
        forwards: passes in all.
        backwards: as `forwards`.
    """

    method: str
    params: dict[str, Any] = Field(default_factory=dict)
    group: str
    table: str
    figures: dict[str, dict[str, Any]] = Field(default_factory=dict)
    remarks: list[str] = Field(default_factory=list)
    extra: dict[str, Any] = Field(default_factory=dict)
    forwards: NonNegativeInt = 0
    backwards: NonNegativeInt = 0


class ExplainRecord(BaseModel):
    """Record of a run of `unshaken explain`: its settings and, at its end, its findings.

    Args:
        settings: what was asked; a resume with others is refused.
        found: condition to what its method found.
        agreements: of the maps of each two methods: `first`, `second` and Spearman's correlation as a figure.
        samples: examined.
        classes: names of the model's classes.
        remarks: on the labels and boxes of the data, each a line.
        bad_samples: samples that could not be read, with the reason.
        provenance: versions and machine.
        finished: whether all methods are done.
    """

    settings: dict[str, Any]
    found: dict[str, MethodRecord] = Field(default_factory=dict)
    agreements: list[dict[str, Any]] = Field(default_factory=list)
    samples: NonNegativeInt = 0
    classes: list[str] = Field(default_factory=list)
    remarks: list[str] = Field(default_factory=list)
    bad_samples: list[dict[str, str]] = Field(default_factory=list)
    provenance: dict[str, Any] = Field(default_factory=dict)
    finished: bool = False

    @classmethod
    def read(cls, run: RunDir) -> ExplainRecord:
        """Read the record of a run.

        Raises:
            RunError: it is absent or damaged.
        """
        where = f"{run}: {RECORD}"
        return validate(cls, run.read_json(RECORD), where, RunError, "explain again in a new --out")

    def write(self, run: RunDir) -> None:
        """Write the record to a run."""
        run.write_json(self.model_dump(mode="json"), RECORD)
