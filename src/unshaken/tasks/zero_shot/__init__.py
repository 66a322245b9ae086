"""Zero-shot classifiers: prompts, and models compared over six aspects of robustness by six factors of their design."""

from unshaken.models.zero_shot import DualEncoder, ImageTower, class_weights
from unshaken.tasks.zero_shot.across import FamilyLine
from unshaken.tasks.zero_shot.calibration import CalibrationFigures, calibrate, fitting_half, within_classes
from unshaken.tasks.zero_shot.candidates import Candidate, embed_images
from unshaken.tasks.zero_shot.choices import Choice, ask, compare_choices, confusing_options
from unshaken.tasks.zero_shot.model_factors import FACTORS, ModelFactors, matched_difference
from unshaken.tasks.zero_shot.prompts import (
    PromptFigures,
    load_templates,
    prompt_figures,
    prompt_hits,
)
from unshaken.tasks.zero_shot.retrieval import RetrievalRanks, recalls, retrieve
from unshaken.tasks.zero_shot.tables import Captions, read_captions
from unshaken.tasks.zero_shot.training import info_nce, sigmoid_pairs
from unshaken.tasks.zero_shot.visual_factors import FactorFigures, error_ratio, factor_figures, read_factors

__all__ = [
    "FACTORS",
    "CalibrationFigures",
    "Candidate",
    "Captions",
    "Choice",
    "DualEncoder",
    "FactorFigures",
    "FamilyLine",
    "ImageTower",
    "ModelFactors",
    "PromptFigures",
    "RetrievalRanks",
    "ask",
    "calibrate",
    "class_weights",
    "compare_choices",
    "confusing_options",
    "embed_images",
    "error_ratio",
    "factor_figures",
    "fitting_half",
    "info_nce",
    "load_templates",
    "matched_difference",
    "prompt_figures",
    "prompt_hits",
    "read_captions",
    "read_factors",
    "recalls",
    "retrieve",
    "sigmoid_pairs",
    "within_classes",
]
