"""Classifiers of images with texts: what added texts, corrupted images and both together cost them."""

from unshaken.tasks.image_text.changes import (
    BASELINES,
    AppendText,
    ChangeBoth,
    ChangeImage,
    PerturbText,
    filler,
    keywords,
    nearest_texts,
    write_repeats,
    write_urls,
    written_by,
)
from unshaken.tasks.image_text.evaluate import evaluate
from unshaken.tasks.image_text.fit_fusion import FusionTraining, fit_fusion
from unshaken.tasks.image_text.fusion import FusionClassifier, FusionHead, ImageFeatureMemory
from unshaken.tasks.image_text.match import MatchScore
from unshaken.tasks.image_text.relevance import ClassCaptionVectors, Relevance, TopicModel
from unshaken.tasks.image_text.report import ImageTextReport, table_lines
from unshaken.tasks.image_text.samples import ImageTextSet, read_samples
from unshaken.tasks.image_text.search import Dilution, Floors, GivenDilutions, median_floors, mislead_loss, soft_words
from unshaken.tasks.image_text.words import describe_pictures, image_keywords, tag_keywords, text_keywords
from unshaken.tasks.image_text.writers import (
    InsertionWriter,
    MaskedModel,
    Material,
    ModelWriter,
    TemplateWriter,
    gather_material,
)

__all__ = [
    "BASELINES",
    "AppendText",
    "ChangeBoth",
    "ChangeImage",
    "ClassCaptionVectors",
    "Dilution",
    "Floors",
    "FusionClassifier",
    "FusionHead",
    "FusionTraining",
    "GivenDilutions",
    "ImageFeatureMemory",
    "ImageTextReport",
    "ImageTextSet",
    "InsertionWriter",
    "MaskedModel",
    "MatchScore",
    "Material",
    "ModelWriter",
    "PerturbText",
    "Relevance",
    "TemplateWriter",
    "TopicModel",
    "describe_pictures",
    "evaluate",
    "filler",
    "fit_fusion",
    "gather_material",
    "image_keywords",
    "keywords",
    "median_floors",
    "mislead_loss",
    "nearest_texts",
    "read_samples",
    "soft_words",
    "table_lines",
    "tag_keywords",
    "text_keywords",
    "write_repeats",
    "write_urls",
    "written_by",
]
