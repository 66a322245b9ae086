"""Data sets of any kind: ids and labels at once, pixels on demand, bad samples as records."""

from unshaken.data.arrays import from_arrays
from unshaken.data.dataset import BadSample, Dataset
from unshaken.data.load import load_data
from unshaken.data.objects import DataSource, as_dataset
from unshaken.data.stream import stream
from unshaken.data.subset import subset

__all__ = ["BadSample", "DataSource", "Dataset", "as_dataset", "from_arrays", "load_data", "stream", "subset"]
