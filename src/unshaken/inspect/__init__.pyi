"""Checks of the health of a data set: copies, images that show little, labels that a property gives away."""

from unshaken.inspect.copies.exact_duplicates import ExactDuplicates as ExactDuplicates
from unshaken.inspect.copies.near_duplicates import NearDuplicates as NearDuplicates
from unshaken.inspect.engine.base import Check as Check
from unshaken.inspect.engine.base import Issues as Issues
from unshaken.inspect.engine.base import Measured as Measured
from unshaken.inspect.engine.base import ScoreCheck as ScoreCheck
from unshaken.inspect.engine.sample import DecodedSample as DecodedSample
from unshaken.inspect.labels.class_balance import ClassBalance as ClassBalance
from unshaken.inspect.labels.spurious_property import SpuriousProperty as SpuriousProperty
from unshaken.inspect.pictures.blurry_images import BlurryImages as BlurryImages
from unshaken.inspect.pictures.bright_images import BrightImages as BrightImages
from unshaken.inspect.pictures.dark_images import DarkImages as DarkImages
from unshaken.inspect.pictures.grey_images import GreyImages as GreyImages
from unshaken.inspect.pictures.low_information import LowInformation as LowInformation
from unshaken.inspect.pictures.odd_aspect import OddAspect as OddAspect
from unshaken.inspect.pictures.odd_size import OddSize as OddSize
from unshaken.inspect.pictures.one_colour import OneColour as OneColour
from unshaken.inspect.pictures.outliers import Outliers as Outliers
from unshaken.inspect.pictures.unreadable import Unreadable as Unreadable
