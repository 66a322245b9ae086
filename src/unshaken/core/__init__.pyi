"""The few types of the package, the registry, the driver, errors, progress and randomness."""

from unshaken.core.batch import Batch as Batch
from unshaken.core.classifier import Classifier as Classifier
from unshaken.core.classifier import View as View
from unshaken.core.consent import allow_code as allow_code
from unshaken.core.driver import Outcome as Outcome
from unshaken.core.driver import Search as Search
from unshaken.core.driver import drive as drive
from unshaken.core.errors import UnshakenError as UnshakenError
from unshaken.core.oracle import Oracle as Oracle
from unshaken.core.query import Answer as Answer
from unshaken.core.query import Features as Features
from unshaken.core.query import Gradient as Gradient
from unshaken.core.query import Labels as Labels
from unshaken.core.query import Logits as Logits
from unshaken.core.query import Query as Query
from unshaken.core.query import Slopes as Slopes
from unshaken.core.query import Votes as Votes
from unshaken.core.registry import Method as Method
from unshaken.core.registry import Parameters as Parameters
from unshaken.core.registry import list_methods as list_methods
from unshaken.core.registry import register as register
from unshaken.core.rng import SampleRng as SampleRng
from unshaken.core.state import State as State
