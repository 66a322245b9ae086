"""Natural, random and adversarial viewpoints of named meshes, as an ImageNet model sees them, and seconds an object.

    python benchmarks/viewpoints.py --meshes /usr/share/sweethome3d/furniture --objects 60
    python benchmarks/viewpoints.py --meshes DIR --objects 10 --iterations 10 --samples 20

DIR holds meshes in a folder a class, called as the model calls its classes; or catalogues of Sweet Home 3D (`.sh3f`,
from Debian's package `sweethome3d-furniture`: 820 meshes under CC0 and CC-BY), whose objects with a class of ImageNet
are unpacked into a folder of their own (`--unpack`).

Measured: accuracy of `--model` over `--samples` views of each object, the mean over objects with a bootstrap interval
over objects: natural views (front half, 10 to 30 degrees above the horizon), views drawn evenly from the upright box
(all azimuths, 10 to 70 degrees), and draws of the mixture that GMVFool learned for each object in `--iterations`
iterations; and the time of GMVFool an object, rendering included. A class name is a rough label: a desk that the
network calls a table counts as wrong in natural views, too. About a minute an object on two quiet cores.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import zipfile
from pathlib import Path

from _peers import machine

import unshaken
from unshaken.report.wording import percent, span

CLASSES = {
    "Electric guitar": "electric guitar",
    "Grand piano": "grand piano",
    "Laptop": "laptop",
    "Microwave": "microwave",
    "Folding chair": "folding chair",
    "Bench": "park bench",
    "Bookcase": "bookcase",
    "Sofa": "studio couch",
    "Coffee mug": "coffee mug",
    "Desk lamp": "table lamp",
    "Table lamp": "table lamp",
    "Desk": "desk",
    "Clothes washing machine": "washer",
    "Fridge": "refrigerator",
    "Radiator": "radiator",
    "Pool table": "pool table",
    "Hammer": "hammer",
    "Fork lift": "forklift",
    "Hamburger": "cheeseburger",
    "Hot dog": "hotdog",
    "Backpack": "backpack",
    "Barrel": "barrel",
    "Broom": "broom",
    "Joystick": "joystick",
    "Bath": "bathtub",
    "Rocking chair": "rocking chair",
    "Crib": "crib",
    "Vase": "vase",
    "Toaster": "toaster",
    "Toilet": "toilet seat",
    "Umbrella": "umbrella",
    "Teddy": "teddy",
    "Wardrobe": "wardrobe",
    "Television": "television",
    "Bicycle": "mountain bike",
    "Motorbike": "motor scooter",
    "Basketball": "basketball",
    "Filing cabinet": "file",
    "Mailbox": "mailbox",
    "Iron": "iron",
    "Screwdriver": "screwdriver",
    "Printer": "printer",
}
"""What a name in the catalogue begins with, and the class of ImageNet."""
OTHER = ("railing", "bed", "net", "television cabinet", "brush", "paper", "tissue")
"""Words of names that begin so and are something else: an iron bed is no iron."""
OTHERS = re.compile(rf"\b({'|'.join(OTHER)})\b", re.IGNORECASE)


def class_of(name: str) -> str | None:
    """The class of ImageNet of a name in a catalogue."""
    return next((c for k, c in CLASSES.items() if name == k or name.startswith(f"{k} ")), None)


def unpack(catalogues: list[Path], folder: Path) -> int:
    """Unpack the objects of catalogues that have a class, into a folder a class; returns their number."""
    count = 0
    for path in catalogues:
        with zipfile.ZipFile(path) as packed:
            text = packed.read("PluginFurnitureCatalog.properties").decode("latin-1")
            lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
            for key, name in lines.items():
                head, _, number = key.partition("#")
                found = None if OTHERS.search(name) else class_of(name)
                model = lines.get(f"model#{number}", "").lstrip("/")
                if head != "name" or found is None or not model.endswith(".obj"):
                    continue
                count += 1
                place = folder / found.replace(" ", "_") / f"{Path(model).stem}-{path.stem}"
                place.mkdir(parents=True, exist_ok=True)
                inside = model.rpartition("/")[0] + "/"
                for entry in packed.namelist():
                    if entry.startswith(inside) and "/" not in entry[len(inside) :] and not entry.endswith("/"):
                        (place / entry[len(inside) :]).write_bytes(packed.read(entry))
    return count


def show(audit: unshaken.Audit) -> None:
    """Print a line for each attack of a run."""
    cost = {row["condition"]: row for row in audit.summary["conditions"]}
    for one in audit.summary["viewpoints"]:
        accuracy, held = one["accuracy"], one["held"]
        seconds = cost[one["condition"]]["seconds"] / accuracy["n"] if cost[one["condition"]]["seconds"] else 0.0
        print(
            f"{one['condition']:14s} {percent(accuracy['value']):>8s} ({span(accuracy)}) of {accuracy['n']} objects, "
            f"{one['views']:,} views; {percent(held['value'])} of objects hold; search {seconds:.1f} s an object"
        )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meshes", type=Path, required=True)
    parser.add_argument("--unpack", type=Path, default=Path(tempfile.gettempdir()) / "unshaken-furniture")
    parser.add_argument("--model", default="imagenet:efficientnet-lite0")
    parser.add_argument("--objects", type=int, default=60)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--pairs", type=int, default=25)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=None)
    chosen = parser.parse_args()
    if catalogues := sorted(chosen.meshes.glob("*.sh3f")):
        print(f"{unpack(catalogues, chosen.unpack)} objects with a class, in {chosen.unpack}")
    import torch

    torch.set_num_threads(chosen.threads)
    few = {"samples": chosen.samples}
    search = {"pairs": chosen.pairs, "iterations": chosen.iterations, "rate": chosen.rate}
    audit = unshaken.audit(
        chosen.model,
        f"meshes:{chosen.unpack if catalogues else chosen.meshes}",
        [
            {"method": "natural-views", "params": few},
            {"method": "random-views", "params": few},
            {"method": "gmvfool", "params": {**few, **search}},
        ],
        limit=chosen.objects,
        out=str(chosen.out or Path(tempfile.mkdtemp()) / "run"),
    )
    print(machine())
    show(audit)
    print(audit.run)


if __name__ == "__main__":
    main()
