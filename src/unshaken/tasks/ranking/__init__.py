"""Rankers of texts and images: five tasks of robustness, by queries and documents that change."""

from unshaken.tasks.ranking.collection import (
    Collection,
    as_collection,
    read_collection,
    read_qrels,
    read_run,
    read_wordnet,
    write_run,
)
from unshaken.tasks.ranking.encoders import HashedPieces, SentenceEncoder, load_encoder
from unshaken.tasks.ranking.evaluate import RankingReport, evaluate, read_report, table_lines
from unshaken.tasks.ranking.images import attack_queries, image_vectors, rank_images, same_class
from unshaken.tasks.ranking.learned import LambdaMART, RankSVM
from unshaken.tasks.ranking.lexical import BM25, QueryLikelihood
from unshaken.tasks.ranking.neural import KNRM, EncoderMemory, TwoTower
from unshaken.tasks.ranking.order import Ranking, measure_queries, sort_by_score
from unshaken.tasks.ranking.perturbations import perturb
from unshaken.tasks.ranking.ranker import DenseRanker, ScoreFunction
from unshaken.tasks.ranking.robustness import Changes, RankingTest

__all__ = [
    "BM25",
    "KNRM",
    "Changes",
    "Collection",
    "DenseRanker",
    "EncoderMemory",
    "HashedPieces",
    "LambdaMART",
    "QueryLikelihood",
    "RankSVM",
    "Ranking",
    "RankingReport",
    "RankingTest",
    "ScoreFunction",
    "SentenceEncoder",
    "TwoTower",
    "as_collection",
    "attack_queries",
    "evaluate",
    "image_vectors",
    "load_encoder",
    "measure_queries",
    "perturb",
    "rank_images",
    "read_collection",
    "read_qrels",
    "read_report",
    "read_run",
    "read_wordnet",
    "same_class",
    "sort_by_score",
    "table_lines",
    "write_run",
]
