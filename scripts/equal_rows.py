"""Compare runs that two versions of the code made: rows, pictures and weights must be equal.

    python scripts/equal_rows.py BEFORE AFTER

BEFORE and AFTER are folders with runs of the same names. Times and versions are left out; integers, texts and truth
values must be equal, floats too, unless `--tolerance` allows a difference. Exit 1 if anything differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file

CLOCK = {"seconds", "model_seconds", "method_seconds", "wall_seconds", "overhead"}


def table_of(files: list[Path]) -> pa.Table:
    """The rows of some files, times left out, in the order of their text."""
    table = pa.concat_tables([pq.read_table(f) for f in sorted(files)], promote_options="default")
    return table.select([name for name in table.column_names if name not in CLOCK])


def differences(before: pa.Table, after: pa.Table, tolerance: float) -> Iterator[str]:
    """What differs between two tables, column by column."""
    if len(before) != len(after) or before.column_names != after.column_names:
        yield f"{len(before)} rows of {before.column_names}, then {len(after)} rows of {after.column_names}"
        return
    for name in before.column_names:
        old, new = (t[name].to_pylist() for t in (before, after))
        wrong = [(a, b) for a, b in zip(old, new, strict=True) if not equal(a, b, tolerance)]
        if wrong:
            yield f"{name}: {len(wrong)} of {len(old)} differ, such as {wrong[0][0]!r} and {wrong[0][1]!r}"


def equal(a: object, b: object, tolerance: float) -> bool:
    """Whether two values agree; NaN agrees with NaN."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(equal(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (a != a and b != b) or abs(a - b) <= tolerance
    return a == b


def compare(before: Path, after: Path, tolerance: float) -> Iterator[str]:
    """A line for each table and file of weights that both runs hold, and for what one of them lacks."""
    tables = {p.relative_to(before) for p in before.glob("**/rows/*") if p.is_dir()}
    for name in sorted(tables | {p.relative_to(after) for p in after.glob("**/rows/*") if p.is_dir()}):
        files = [list((root / name).glob("*.parquet")) for root in (before, after)]
        if not all(files):
            yield f"DIFFERS {name}: only one run has it"
            continue
        old, new = map(table_of, files)
        found = list(differences(old, new, tolerance))
        yield f"DIFFERS {name}: {'; '.join(found)}" if found else f"equal   {name}: {len(old)} rows"
    for path in sorted(before.glob("**/*.safetensors")):
        name = path.relative_to(before)
        if not (after / name).exists():
            yield f"DIFFERS {name}: absent afterwards"
            continue
        old, new = load_file(path), load_file(after / name)
        apart = [
            k for k in old.keys() | new.keys() if k not in old or k not in new or not same(old[k], new[k], tolerance)
        ]
        yield f"DIFFERS {name}: {apart[:3]}" if apart else f"equal   {name}: {len(old)} tensors"


def same(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """Whether two arrays agree."""
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=0, atol=tolerance, equal_nan=True))


def main() -> int:
    """Print the comparison of every run that both folders hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--tolerance", type=float, default=0.0)
    given = parser.parse_args()
    lines = list(compare(given.before, given.after, given.tolerance))
    print("\n".join(lines))
    bad = [line for line in lines if line.startswith("DIFFERS")]
    print(f"{len(lines) - len(bad)} equal, {len(bad)} differ")
    return 1 if bad or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
