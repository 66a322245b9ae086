"""How rankings change, and how evenly a ranker serves its queries."""
