"""Wrong labels: methods that find them, how many there are, and labels that people have settled."""

from unshaken.api.label_record import estimate_wrong as estimate_wrong
from unshaken.api.labels import find_labels as find_labels
from unshaken.labels.engine.finder import Evidence as Evidence
from unshaken.labels.engine.finder import Finder as Finder
from unshaken.labels.engine.finder import LabelScores as LabelScores
from unshaken.labels.engine.probabilities import Probabilities as Probabilities
from unshaken.labels.find.aum import AUM as AUM
from unshaken.labels.find.boxes import ImageBoxes as ImageBoxes
from unshaken.labels.find.boxes import find_boxes as find_boxes
from unshaken.labels.find.confidence_weighted_entropy import ConfidenceWeightedEntropy as ConfidenceWeightedEntropy
from unshaken.labels.find.confident_learning import ConfidentLearning as ConfidentLearning
from unshaken.labels.find.early_learning import EarlyLearning as EarlyLearning
from unshaken.labels.find.knn_agreement import KNNAgreement as KNNAgreement
from unshaken.labels.find.linear_separation import LinearSeparation as LinearSeparation
from unshaken.labels.find.masks import find_masks as find_masks
from unshaken.labels.find.multi_label import find_multi_label as find_multi_label
from unshaken.labels.find.normalized_margin import NormalizedMargin as NormalizedMargin
from unshaken.labels.find.self_confidence import SelfConfidence as SelfConfidence
from unshaken.labels.find.small_loss import SmallLoss as SmallLoss
