"""Rankers of texts and images: five tasks of robustness, by queries and documents that change."""

from unshaken.tasks.ranking.collection import Collection
from unshaken.tasks.ranking.dense import DenseRanker
from unshaken.tasks.ranking.encoders import HashedPieces, SentenceEncoder, load_encoder
from unshaken.tasks.ranking.evaluate import RankingReport, evaluate, read_report, table_lines
from unshaken.tasks.ranking.image_attack import attack_queries
from unshaken.tasks.ranking.images import image_vectors, rank_images, same_class
from unshaken.tasks.ranking.learned import LambdaMART, RankSVM
from unshaken.tasks.ranking.lexical import BM25, QueryLikelihood
from unshaken.tasks.ranking.measures import measure_queries
from unshaken.tasks.ranking.neural import KNRM, EncoderMemory, TwoTower
from unshaken.tasks.ranking.order import Ranking, sort_by_score
from unshaken.tasks.ranking.perturbations import perturb
from unshaken.tasks.ranking.ranked_queries import rank_queries
from unshaken.tasks.ranking.ranker import ScoreFunction
from unshaken.tasks.ranking.setting import Changes, RankingTest
from unshaken.tasks.ranking.trec import read_collection, read_qrels, read_run, read_texts, write_run
from unshaken.tasks.ranking.wordnet import as_collection, read_wordnet

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
    "rank_queries",
    "read_collection",
    "read_qrels",
    "read_report",
    "read_run",
    "read_texts",
    "read_wordnet",
    "same_class",
    "sort_by_score",
    "table_lines",
    "write_run",
]
