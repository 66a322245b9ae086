"""Tasks beside plain classification: a task says what a model's output means, and which rows and figures follow."""

from unshaken.tasks.bev.birds_eye import BirdsEye as BirdsEye
from unshaken.tasks.few_shot.few_shot import FewShot as FewShot
from unshaken.tasks.image_text.text_dilution import TextDilution as TextDilution
from unshaken.tasks.inspection.data_drift import DataDrift as DataDrift
from unshaken.tasks.inspection.data_health import DataHealth as DataHealth
from unshaken.tasks.natural_shift.natural_shift import NaturalShift as NaturalShift
from unshaken.tasks.prediction_sets.prediction_sets import PredictionSets as PredictionSets
from unshaken.tasks.ranking.ranking import RankingRobustness as RankingRobustness
from unshaken.tasks.transfer.frozen_features import FrozenFeatures as FrozenFeatures
from unshaken.tasks.zero_shot.zero_shot import ZeroShot as ZeroShot
