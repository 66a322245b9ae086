"""A small collection: what a query means is decided by a few words."""

from unshaken.tasks.ranking import Collection

THINGS = ("bird", "engine", "river", "guitar", "castle", "lemon", "window", "planet")
DEEDS = ("singing", "burning", "flowing", "sounding", "falling", "growing", "opening", "turning")


def collection(first: int = 0, count: int = 8, name: str = "q") -> Collection:
    """Documents of two words each, and queries of two types that ask for a thing or a deed."""
    documents = {f"d{i}{j}": f"{thing} {deed} somewhere" for i, thing in enumerate(THINGS) for j, deed in
                 enumerate(DEEDS)}  # fmt: skip
    queries, qrels, types = {}, {}, {}
    for number in range(first, first + count):
        i, j = number % 8, (3 * number) % 8
        query = f"{name}{number}"
        queries[query] = f"{THINGS[i]} {DEEDS[j]}" if number % 2 else f"the {DEEDS[j]} of a {THINGS[i]}"
        qrels[query] = {f"d{i}{j}": 1}
        types[query] = "thing" if number % 2 else "deed"
    return Collection(documents, queries, qrels, types)
