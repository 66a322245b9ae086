"""Test, certify and improve the robustness of vision models.

>>> import unshaken
>>> result = unshaken.audit("demo:standard", "demo", [{"method": "fog", "severities": [3]}], limit=20,
...                         out=getfixture("tmp_path") / "run")  # doctest: +SKIP"""

from unshaken.api.audit import Audit as Audit
from unshaken.api.audit import audit as audit
from unshaken.api.board import board as board
from unshaken.api.corrupt import corrupt as corrupt
from unshaken.api.evaluate import evaluate as evaluate
from unshaken.api.fool import fool as fool
from unshaken.api.inspect import drift as drift
from unshaken.api.labels import find_labels as find_labels
from unshaken.api.matrix import matrix as matrix
from unshaken.api.results import compare as compare
from unshaken.api.results import merge as merge
from unshaken.api.transfer import transfer as transfer
from unshaken.core.errors import UnshakenError as UnshakenError
from unshaken.core.registry import list_methods as list_methods
from unshaken.core.version import __version__ as __version__
from unshaken.data.load import load_data as load_data
from unshaken.models.loaders.load import load_model as load_model

from unshaken import api as api
from unshaken import callbacks as callbacks
from unshaken import cli as cli
from unshaken import core as core
from unshaken import data as data
from unshaken import generate as generate
from unshaken import labels as labels
from unshaken import measure as measure
from unshaken import models as models
from unshaken import papers as papers
from unshaken import pytest_plugin as pytest_plugin
from unshaken import report as report
from unshaken import run as run
from unshaken import serve as serve
from unshaken import store as store
from unshaken import stress as stress
from unshaken import tasks as tasks
from unshaken import testing as testing

from unshaken.api.audit import attack as _attack

class _Attack:
    from unshaken.attack import APGD as APGD
    from unshaken.attack import Ascent as Ascent
    from unshaken.attack import Auto as Auto
    from unshaken.attack import AutoAttack as AutoAttack
    from unshaken.attack import CarliniWagner as CarliniWagner
    from unshaken.attack import Cppn as Cppn
    from unshaken.attack import DAG as DAG
    from unshaken.attack import DDN as DDN
    from unshaken.attack import DeepFool as DeepFool
    from unshaken.attack import DetectionPGD as DetectionPGD
    from unshaken.attack import DetectionPatch as DetectionPatch
    from unshaken.attack import Direct as Direct
    from unshaken.attack import FAB as FAB
    from unshaken.attack import FGSM as FGSM
    from unshaken.attack import FMN as FMN
    from unshaken.attack import GMVFool as GMVFool
    from unshaken.attack import HopSkipJump as HopSkipJump
    from unshaken.attack import JSMA as JSMA
    from unshaken.attack import MIFGSM as MIFGSM
    from unshaken.attack import NaTra as NaTra
    from unshaken.attack import NaturalViews as NaturalViews
    from unshaken.attack import ObjectFabrication as ObjectFabrication
    from unshaken.attack import ObjectMislabeling as ObjectMislabeling
    from unshaken.attack import ObjectVanishing as ObjectVanishing
    from unshaken.attack import OracleBound as OracleBound
    from unshaken.attack import PGD as PGD
    from unshaken.attack import Patch as Patch
    from unshaken.attack import PatchFool as PatchFool
    from unshaken.attack import PixelPGD as PixelPGD
    from unshaken.attack import RandomNoise as RandomNoise
    from unshaken.attack import RandomViews as RandomViews
    from unshaken.attack import SPSA as SPSA
    from unshaken.attack import SigmaZero as SigmaZero
    from unshaken.attack import Spatial as Spatial
    from unshaken.attack import Square as Square
    from unshaken.attack import Substitution as Substitution
    from unshaken.attack import Transfer as Transfer
    from unshaken.attack import UAP as UAP
    from unshaken.attack import UniversalPatch as UniversalPatch
    from unshaken.attack import ViewFool as ViewFool
    __call__ = staticmethod(_attack)

attack: _Attack

from unshaken.api.audit import certify as _certify

class _Certify:
    from unshaken.certify import AdaptiveSmoothing as AdaptiveSmoothing
    from unshaken.certify import AdaptiveSmoothingAttack as AdaptiveSmoothingAttack
    from unshaken.certify import CROWN as CROWN
    from unshaken.certify import CropSelection as CropSelection
    from unshaken.certify import DualSmoothing as DualSmoothing
    from unshaken.certify import DualSmoothingAttack as DualSmoothingAttack
    from unshaken.certify import IBP as IBP
    from unshaken.certify import SMT as SMT
    from unshaken.certify import SequentialSmoothing as SequentialSmoothing
    from unshaken.certify import Smoothing as Smoothing
    from unshaken.certify import SmoothingAttack as SmoothingAttack
    __call__ = staticmethod(_certify)

certify: _Certify

from unshaken.api.detect import detect as _detect
from unshaken.detect import export as _detect_export
from unshaken.detect import fit as _detect_fit
from unshaken.detect import guard as _detect_guard
from unshaken.detect import latency as _detect_latency

class _Detect:
    from unshaken.detect import ASH as ASH
    from unshaken.detect import DCTWatermarkDetector as DCTWatermarkDetector
    from unshaken.detect import DICE as DICE
    from unshaken.detect import Detector as Detector
    from unshaken.detect import DetectorSet as DetectorSet
    from unshaken.detect import Energy as Energy
    from unshaken.detect import EnsembleDisagreement as EnsembleDisagreement
    from unshaken.detect import Entropy as Entropy
    from unshaken.detect import Evasion as Evasion
    from unshaken.detect import ExportResult as ExportResult
    from unshaken.detect import FDBD as FDBD
    from unshaken.detect import FeatureSqueezing as FeatureSqueezing
    from unshaken.detect import Fit as Fit
    from unshaken.detect import Fusion as Fusion
    from unshaken.detect import GEN as GEN
    from unshaken.detect import GradNorm as GradNorm
    from unshaken.detect import Gram as Gram
    from unshaken.detect import KLMatching as KLMatching
    from unshaken.detect import KNN as KNN
    from unshaken.detect import LID as LID
    from unshaken.detect import Latency as Latency
    from unshaken.detect import LearnedWatermarkDetector as LearnedWatermarkDetector
    from unshaken.detect import MCDropout as MCDropout
    from unshaken.detect import MCM as MCM
    from unshaken.detect import MSP as MSP
    from unshaken.detect import Mahalanobis as Mahalanobis
    from unshaken.detect import MaxLogit as MaxLogit
    from unshaken.detect import NECO as NECO
    from unshaken.detect import NNGuide as NNGuide
    from unshaken.detect import NudeNet as NudeNet
    from unshaken.detect import ODIN as ODIN
    from unshaken.detect import OpenNSFW as OpenNSFW
    from unshaken.detect import PolicyHeads as PolicyHeads
    from unshaken.detect import RIGID as RIGID
    from unshaken.detect import RankFeat as RankFeat
    from unshaken.detect import ReAct as ReAct
    from unshaken.detect import RelativeMahalanobis as RelativeMahalanobis
    from unshaken.detect import Residual as Residual
    from unshaken.detect import SCALE as SCALE
    from unshaken.detect import SHE as SHE
    from unshaken.detect import Screening as Screening
    from unshaken.detect import Shares as Shares
    from unshaken.detect import SpreadSpectrumWatermark as SpreadSpectrumWatermark
    from unshaken.detect import TemperatureScaling as TemperatureScaling
    from unshaken.detect import ViM as ViM
    export = staticmethod(_detect_export)
    fit = staticmethod(_detect_fit)
    guard = staticmethod(_detect_guard)
    latency = staticmethod(_detect_latency)
    __call__ = staticmethod(_detect)

detect: _Detect

from unshaken.api.explain import explain as _explain
from unshaken.explain import attribute as _explain_attribute
from unshaken.explain import compare_methods as _explain_compare_methods
from unshaken.explain import compare_models as _explain_compare_models
from unshaken.explain import make_case as _explain_make_case
from unshaken.explain import map_agreement as _explain_map_agreement
from unshaken.explain import summarise as _explain_summarise

class _Explain:
    from unshaken.explain import Analysis as Analysis
    from unshaken.explain import AttentionRollout as AttentionRollout
    from unshaken.explain import Attribution as Attribution
    from unshaken.explain import AttributionResult as AttributionResult
    from unshaken.explain import BackgroundReliance as BackgroundReliance
    from unshaken.explain import CAM as CAM
    from unshaken.explain import Case as Case
    from unshaken.explain import CentrePoint as CentrePoint
    from unshaken.explain import ConceptLevel as ConceptLevel
    from unshaken.explain import CueConflict as CueConflict
    from unshaken.explain import Deletion as Deletion
    from unshaken.explain import Distortions as Distortions
    from unshaken.explain import EdgeDetector as EdgeDetector
    from unshaken.explain import ExpectedGradients as ExpectedGradients
    from unshaken.explain import FilterDrift as FilterDrift
    from unshaken.explain import FilterQuality as FilterQuality
    from unshaken.explain import Findings as Findings
    from unshaken.explain import FrequencyBias as FrequencyBias
    from unshaken.explain import GradCAM as GradCAM
    from unshaken.explain import GradCAMPlusPlus as GradCAMPlusPlus
    from unshaken.explain import Gradient as Gradient
    from unshaken.explain import GradientAttention as GradientAttention
    from unshaken.explain import GradientShap as GradientShap
    from unshaken.explain import GuidedBackprop as GuidedBackprop
    from unshaken.explain import Infidelity as Infidelity
    from unshaken.explain import InputKinds as InputKinds
    from unshaken.explain import InputXGradient as InputXGradient
    from unshaken.explain import Insertion as Insertion
    from unshaken.explain import IntegratedGradients as IntegratedGradients
    from unshaken.explain import IntrinsicDimension as IntrinsicDimension
    from unshaken.explain import LIME as LIME
    from unshaken.explain import LabelSharpness as LabelSharpness
    from unshaken.explain import LayerCAM as LayerCAM
    from unshaken.explain import MILAN as MILAN
    from unshaken.explain import MapMetric as MapMetric
    from unshaken.explain import MapScores as MapScores
    from unshaken.explain import MapValues as MapValues
    from unshaken.explain import MaskShare as MaskShare
    from unshaken.explain import MaxSensitivity as MaxSensitivity
    from unshaken.explain import MeaningfulPerturbation as MeaningfulPerturbation
    from unshaken.explain import NetDissect as NetDissect
    from unshaken.explain import ObjectMasks as ObjectMasks
    from unshaken.explain import Occlusion as Occlusion
    from unshaken.explain import PointingGame as PointingGame
    from unshaken.explain import RISE as RISE
    from unshaken.explain import ROAD as ROAD
    from unshaken.explain import RandomMap as RandomMap
    from unshaken.explain import Randomisation as Randomisation
    from unshaken.explain import RepresentationDimension as RepresentationDimension
    from unshaken.explain import ScoreCAM as ScoreCAM
    from unshaken.explain import SensitivityN as SensitivityN
    from unshaken.explain import SmoothGrad as SmoothGrad
    from unshaken.explain import Smoothness as Smoothness
    from unshaken.explain import Subject as Subject
    from unshaken.explain import Tileability as Tileability
    from unshaken.explain import UnitEditing as UnitEditing
    from unshaken.explain import WSOL as WSOL
    attribute = staticmethod(_explain_attribute)
    compare_methods = staticmethod(_explain_compare_methods)
    compare_models = staticmethod(_explain_compare_models)
    make_case = staticmethod(_explain_make_case)
    map_agreement = staticmethod(_explain_map_agreement)
    summarise = staticmethod(_explain_summarise)
    __call__ = staticmethod(_explain)

explain: _Explain

from unshaken.api.harden import harden as _harden

class _Harden:
    from unshaken.harden import ADELE as ADELE
    from unshaken.harden import ADL as ADL
    from unshaken.harden import ADP as ADP
    from unshaken.harden import AWP as AWP
    from unshaken.harden import AdvProp as AdvProp
    from unshaken.harden import AdversarialTraining as AdversarialTraining
    from unshaken.harden import AugMix as AugMix
    from unshaken.harden import BalancedSampling as BalancedSampling
    from unshaken.harden import ClassBalanced as ClassBalanced
    from unshaken.harden import CoTeaching as CoTeaching
    from unshaken.harden import Consistency as Consistency
    from unshaken.harden import Corruptions as Corruptions
    from unshaken.harden import CropFlip as CropFlip
    from unshaken.harden import CrossMax as CrossMax
    from unshaken.harden import CutMix as CutMix
    from unshaken.harden import Denoise as Denoise
    from unshaken.harden import DiceLoss as DiceLoss
    from unshaken.harden import Distillation as Distillation
    from unshaken.harden import DivideMix as DivideMix
    from unshaken.harden import Dverge as Dverge
    from unshaken.harden import ELR as ELR
    from unshaken.harden import ELRPlus as ELRPlus
    from unshaken.harden import EMA as EMA
    from unshaken.harden import EnsembleAT as EnsembleAT
    from unshaken.harden import FgsmRs as FgsmRs
    from unshaken.harden import FreeAT as FreeAT
    from unshaken.harden import FrequencyPrompt as FrequencyPrompt
    from unshaken.harden import GAL as GAL
    from unshaken.harden import GCE as GCE
    from unshaken.harden import GaussianAugmented as GaussianAugmented
    from unshaken.harden import GradAlign as GradAlign
    from unshaken.harden import HalfNoise as HalfNoise
    from unshaken.harden import InputTransform as InputTransform
    from unshaken.harden import KnowledgeDistillation as KnowledgeDistillation
    from unshaken.harden import LayerHeadsRecipe as LayerHeadsRecipe
    from unshaken.harden import Mart as Mart
    from unshaken.harden import MaskedAutoencoding as MaskedAutoencoding
    from unshaken.harden import MixingNetwork as MixingNetwork
    from unshaken.harden import Mixture as Mixture
    from unshaken.harden import Mixup as Mixup
    from unshaken.harden import MoCo as MoCo
    from unshaken.harden import MultiResolution as MultiResolution
    from unshaken.harden import NFgsm as NFgsm
    from unshaken.harden import NaTraTraining as NaTraTraining
    from unshaken.harden import Noise as Noise
    from unshaken.harden import Noise2Net as Noise2Net
    from unshaken.harden import NoiseSelfRegression as NoiseSelfRegression
    from unshaken.harden import NormalisedSoftmax as NormalisedSoftmax
    from unshaken.harden import PLS as PLS
    from unshaken.harden import PLSLSA as PLSLSA
    from unshaken.harden import PLSLSAPlus as PLSLSAPlus
    from unshaken.harden import PixMix as PixMix
    from unshaken.harden import Proximal as Proximal
    from unshaken.harden import Purify as Purify
    from unshaken.harden import RCAL as RCAL
    from unshaken.harden import RepresentationConsistency as RepresentationConsistency
    from unshaken.harden import RepresentationTuning as RepresentationTuning
    from unshaken.harden import SCE as SCE
    from unshaken.harden import SimCLR as SimCLR
    from unshaken.harden import SmallLossSelection as SmallLossSelection
    from unshaken.harden import SmoothAdv as SmoothAdv
    from unshaken.harden import SwAV as SwAV
    from unshaken.harden import TAP as TAP
    from unshaken.harden import Temperature as Temperature
    from unshaken.harden import TestTimeAugmentation as TestTimeAugmentation
    from unshaken.harden import ThreeHeads as ThreeHeads
    from unshaken.harden import TrAct as TrAct
    from unshaken.harden import Trades as Trades
    from unshaken.harden import Triplet as Triplet
    from unshaken.harden import VIAT as VIAT
    from unshaken.harden import WorstClass as WorstClass
    __call__ = staticmethod(_harden)

harden: _Harden

from unshaken.api.inspect import inspect as _inspect

class _Inspect:
    from unshaken.inspect import BlurryImages as BlurryImages
    from unshaken.inspect import BrightImages as BrightImages
    from unshaken.inspect import Check as Check
    from unshaken.inspect import ClassBalance as ClassBalance
    from unshaken.inspect import DarkImages as DarkImages
    from unshaken.inspect import DecodedSample as DecodedSample
    from unshaken.inspect import ExactDuplicates as ExactDuplicates
    from unshaken.inspect import GreyImages as GreyImages
    from unshaken.inspect import Issues as Issues
    from unshaken.inspect import LowInformation as LowInformation
    from unshaken.inspect import Measurements as Measurements
    from unshaken.inspect import NearDuplicates as NearDuplicates
    from unshaken.inspect import OddAspect as OddAspect
    from unshaken.inspect import OddSize as OddSize
    from unshaken.inspect import OneColour as OneColour
    from unshaken.inspect import Outliers as Outliers
    from unshaken.inspect import ScoreCheck as ScoreCheck
    from unshaken.inspect import SpuriousProperty as SpuriousProperty
    from unshaken.inspect import Unreadable as Unreadable
    __call__ = staticmethod(_inspect)

inspect: _Inspect
