"""Data sets of any kind: ids and labels at once, pixels on demand, bad samples as records."""

from unshaken.data.arrays import from_arrays as from_arrays
from unshaken.data.dataset import BadSample as BadSample
from unshaken.data.dataset import Dataset as Dataset
from unshaken.data.load import load_data as load_data
from unshaken.data.objects import DataSource as DataSource
from unshaken.data.objects import as_dataset as as_dataset
from unshaken.data.selection import subset as subset
from unshaken.data.streaming import stream as stream
