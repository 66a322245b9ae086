"""The weakest segment that deepchecks' WeakSegmentsPerformance finds in each trial of `benchmarks/slices.py`.

Run by it, with the Python of a virtual environment that has deepchecks: `pip install deepchecks 'scikit-learn<1.6'
'numpy<2' 'pandas<2.3' 'category-encoders<2.7'` (deepchecks 0.19.1 does not import with scikit-learn 1.9). The answers
are given to it as those of a classifier of two classes that is 0.9 sure of each; the score is accuracy, all else is as
by default. A trial without a segment is one for which the check raises that it finds none.

Run: `python benchmarks/_deepchecks_segments.py FOLDER`, with a file `*.npz` a trial. It prints JSON, an object a trial:
`rows` of the weakest segment, whether the check's own `condition` fails (its accuracy is more than 20 % below that of
all samples), and `seconds` of the processor.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np

warnings.filterwarnings("ignore")


def weakest(path):
    """One trial: the columns, and whether each answer is right."""
    import pandas as pd
    from deepchecks.core.errors import DeepchecksProcessError
    from deepchecks.tabular import Dataset
    from deepchecks.tabular.checks import WeakSegmentsPerformance

    trial = np.load(path)
    right, words = trial["right"], [name for name in trial.files if trial[name].dtype.kind == "U"]
    label = np.arange(len(right)) % 2
    predicted = np.where(right, label, 1 - label)
    frame = pd.DataFrame({name: trial[name] for name in trial.files if name != "right"}).assign(label=label)
    check = WeakSegmentsPerformance(alternative_scorer={"accuracy": "accuracy"})
    check.add_condition_segments_relative_performance_greater_than()
    start = time.process_time()
    try:
        found = check.run(
            Dataset(frame, label="label", cat_features=words), with_display=False,
            y_pred=predicted, y_proba=np.where(np.arange(2) == predicted[:, None], 0.9, 0.1),
        )  # fmt: skip
    except DeepchecksProcessError:
        return {"rows": [], "condition": False, "seconds": time.process_time() - start}
    table = found.value["weak_segments_list"]
    passed = all(one.is_pass() for one in found.conditions_results)
    rows = table.sort_values(table.columns[0])["Samples in Segment"].iloc[0] if len(table) else []
    return {"rows": [int(i) for i in rows], "condition": not passed, "seconds": time.process_time() - start}


if __name__ == "__main__":
    print(json.dumps([weakest(path) for path in sorted(Path(sys.argv[1]).glob("*.npz"))]))
