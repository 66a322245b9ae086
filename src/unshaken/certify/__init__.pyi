"""Certificates of robustness, and the defences that they certify."""

from unshaken.certify.bounds.crown import CROWN as CROWN
from unshaken.certify.bounds.ibp import IBP as IBP
from unshaken.certify.crops.crop_selection import CropSelection as CropSelection
from unshaken.certify.smoothing.adaptive_smoothing import AdaptiveSmoothing as AdaptiveSmoothing
from unshaken.certify.smoothing.adaptive_smoothing_attack import AdaptiveSmoothingAttack as AdaptiveSmoothingAttack
from unshaken.certify.smoothing.dual_smoothing import DualSmoothing as DualSmoothing
from unshaken.certify.smoothing.dual_smoothing_attack import DualSmoothingAttack as DualSmoothingAttack
from unshaken.certify.smoothing.smoothing import Smoothing as Smoothing
from unshaken.certify.smoothing.smoothing_attack import SmoothingAttack as SmoothingAttack
from unshaken.certify.smoothing.smoothing_sequential import SequentialSmoothing as SequentialSmoothing
from unshaken.certify.smt.smt import SMT as SMT
