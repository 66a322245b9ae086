"""Classes from few examples, on features of a network that is not trained any more."""

from unshaken.tasks.few_shot.episodes import Episodes as Episodes
from unshaken.tasks.few_shot.episodes import draw_episodes as draw_episodes
from unshaken.tasks.few_shot.episodes import knn_scores as knn_scores
from unshaken.tasks.few_shot.episodes import prototype_scores as prototype_scores
from unshaken.tasks.few_shot.episodes import run_episodes as run_episodes
from unshaken.tasks.few_shot.extend import add_classes as add_classes
from unshaken.tasks.few_shot.extend import head_of as head_of
from unshaken.tasks.few_shot.head import PrototypeHead as PrototypeHead
from unshaken.tasks.few_shot.head import load_head as load_head
