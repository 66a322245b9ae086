"""Published claims as small experiments, each with a rule for its verdict that was written before the run."""

from unshaken.papers.claim import Check as Check
from unshaken.papers.claim import ClaimPart as ClaimPart
from unshaken.papers.claim import decide as decide
from unshaken.papers.claim import decide_near as decide_near
from unshaken.papers.claim import in_every_seed as in_every_seed
from unshaken.papers.claim import seeds_in as seeds_in
from unshaken.papers.effects import across_seeds as across_seeds
from unshaken.papers.effects import unpaired as unpaired
from unshaken.papers.folders import PaperInfo as PaperInfo
from unshaken.papers.folders import list_papers as list_papers
from unshaken.papers.folders import row as row
from unshaken.papers.paper import Paper as Paper
from unshaken.papers.result import PaperResult as PaperResult
from unshaken.papers.run import freeze as freeze
from unshaken.papers.run import run_paper as run_paper
from unshaken.papers.shared import list_networks as list_networks
from unshaken.papers.shared import make_network as make_network
from unshaken.papers.table import write_table as write_table
from unshaken.papers.trend import Trend as Trend
from unshaken.papers.trend_runs import run_trend as run_trend
