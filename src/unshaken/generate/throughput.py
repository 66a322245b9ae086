"""`Throughput`: images that a generator makes in a second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from unshaken.core.part import Condition, Part
from unshaken.core.tables import declare_table

SAMPLING = "sampling"

declare_table(
    "sampling",
    "condition string, method string, steps int64, images int64, seconds double, images_a_second double, "
    "device string, error string",
)


@dataclass(frozen=True, slots=True)
class Throughput:
    """Images that were drawn, and the time that the generator took.

    Args:
        images: drawn, those that were refused included.
        seconds: inside the generator, checks and files left out.
        steps: levels of noise on the way; None for a generator without.
        device: where it ran.
    """

    images: int
    seconds: float
    steps: int | None
    device: str

    @property
    def images_a_second(self) -> float | None:
        """Images over seconds; None where nothing took time."""
        return self.images / self.seconds if self.seconds > 0 else None

    def to_json(self) -> dict[str, Any]:
        """JSON values by name."""
        return {
            "steps": self.steps,
            "images": self.images,
            "seconds": self.seconds,
            "images_a_second": self.images_a_second,
            "device": self.device,
        }

    def to_rows(self, condition: Condition) -> Part:
        """The row of the table `sampling`."""
        return Part(SAMPLING, condition, {name: [value] for name, value in self.to_json().items()})

    @override
    def __str__(self) -> str:
        """In words.

        >>> str(Throughput(100, 8.0, 18, "cpu"))
        '12.5 images a second at 18 steps (100 in 8.0 s on cpu)'
        """
        rate = "no time" if self.images_a_second is None else f"{self.images_a_second:.3g} images a second"
        steps = "" if self.steps is None else f" at {self.steps} steps"
        return f"{rate}{steps} ({self.images} in {self.seconds:.1f} s on {self.device})"
