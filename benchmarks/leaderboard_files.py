"""Do the owners' packages read the files of `board.py`, and do they have the same figures?

    python -m venv owners
    owners/bin/pip install robustbench geotorch gdown torchdiffeq 'setuptools<80' huggingface_hub pandas
    owners/bin/python benchmarks/leaderboard_files.py runs/board16/files

RobustBench's `list_available_models` prints its leaderboard from `model_info`, `parse_eval_result_entries` of the hub
reads `.eval_results`, pandas reads timm's table as timm's own scripts do. Each figure is held against the file's text;
an entry of the hub's that stands twice counts as another too.

RobustBench 1.1.1 as it is on PyPI imports `autoattack`, which is not there; where it is absent an empty one stands in,
for nothing of it is called.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

NORMS = {"linf": "Linf", "l2": "L2"}


def robustbench(files: Path) -> tuple[int, int]:
    """Models on RobustBench's own leaderboards, and figures in another place or of another value.

    Raises:
        ImportError: RobustBench, or a package that it needs, is not installed.
    """
    if importlib.util.find_spec("autoattack") is None:
        sys.modules["autoattack"] = sys.modules["autoattack.state"] = MagicMock()
    utils: Any = importlib.import_module("robustbench.utils")
    enums: Any = importlib.import_module("robustbench.model_zoo.enums")
    seen = wrong = 0
    for norm, threat in NORMS.items():
        own = {path.stem: json.loads(path.read_text()) for path in sorted((files / "model_info" / norm).glob("*.json"))}
        zoo = utils.all_models[enums.BenchmarkDataset.cifar_10][enums.ThreatModel(threat)]
        zoo.update({name: {} for name in own})  # the leaderboard shows the models that the zoo can load
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            place = Path("model_info", "cifar10", threat)
            shutil.copytree(files / "model_info" / norm, place)
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                utils.list_available_models("cifar10", threat)
        lines = [re.sub(r"</?su[bp]>|\*", "", line).split("|")[1:-1] for line in out.getvalue().splitlines()[2:]]
        table = {line[1].strip(): (line[3].strip(), line[4].strip(), line[5].strip()) for line in lines}
        for name, info in own.items():
            expected = (f"{info['clean_acc']}%", f"{info['autoattack_acc']}%", info["architecture"])
            seen, wrong = seen + 1, wrong + (table.get(name) != expected)
    return seen, wrong


def hub(files: Path) -> tuple[int, int]:
    """Entries that the hub's package reads, and those that it writes otherwise.

    Raises:
        ImportError: huggingface_hub, or PyYAML, is not installed.
    """
    package: Any = importlib.import_module("huggingface_hub")
    yaml: Any = importlib.import_module("yaml")
    seen = wrong = 0
    for path in sorted(files.glob("*/.eval_results/*.yaml")):
        own = yaml.safe_load(path.read_text())
        entries = package.parse_eval_result_entries(own)
        again = package.eval_result_entries_to_yaml(entries)
        for one, other in zip(own, again, strict=True):
            seen, wrong = seen + 1, wrong + (one != other)
        wrong += len(entries) - len({(entry.dataset_id, entry.task_id) for entry in entries})
    return seen, wrong


def timm(files: Path) -> tuple[int, int]:
    """Lines of timm's table, and those whose figures do not fit together.

    Raises:
        ImportError: pandas is not installed.
    """
    pandas: Any = importlib.import_module("pandas")
    (path,) = files.glob("results-*.csv")
    table = pandas.read_csv(path)
    right = (table.top1 + table.top1_err - 100).abs() + (table.top5 + table.top5_err - 100).abs() < 1e-3
    right &= (table.top5 >= table.top1) & (table.param_count > 0) & (table.top1.diff().fillna(0) <= 0)
    return len(table), int((~right).sum())


READERS: dict[str, Callable[[Path], tuple[int, int]]] = {
    "robustbench": robustbench,
    "huggingface_hub": hub,
    "pandas": timm,
}


def main() -> None:
    """Read all files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, help="folder 'files' of board.py")
    files = parser.parse_args().files.resolve()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    print("| package | version | entries | otherwise |\n|---|---|---|---|")
    for name, read in READERS.items():
        try:
            seen, wrong = read(files)
        except ImportError as e:
            print(f"| {name} | absent: {e} | | |")
            continue
        print(f"| {name} | {importlib.metadata.version(name)} | {seen} | {wrong} |")


if __name__ == "__main__":
    main()
