"""The files that TensorBoard's projector reads: points, their labels, and a small image of each in its colour."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from hr_retrieval.files import whole_file

_NAMES = ("before training", "best validation")
# Pixels of the image of a point, and what it is filled with: by the rank of a query, or for a document.
_SIDE = 16
_COLOURS = {"first": (0, 158, 115), "near": (230, 159, 0), "far": (213, 94, 0), "document": (86, 180, 233)}
# The last rank that is near.
_NEAR = 10


def write_points(
    folder: Path, name: str, embeddings: npt.NDArray[np.float32], metadata: Sequence[tuple[str, ...]]
) -> None:
    """Write one set of points beside those that are there.

    Args:
        metadata: text, kind, rank (empty for a document) and group of each point.
    """
    own = folder / "projector" / name.replace(" ", "_")
    with whole_file(own / "tensors.tsv") as partial:
        np.savetxt(partial, embeddings, fmt="%.4f", delimiter="\t")
    lines = ["\t".join(row) for row in [("text", "kind", "rank", "group"), *metadata]]
    with whole_file(own / "metadata.tsv") as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with whole_file(own / "sprites.png") as partial:
        Image.fromarray(_sprites([_colour(row[2]) for row in metadata])).save(partial, "PNG")
    found = [part for part in _NAMES if (folder / _place(part)).is_dir()]
    with whole_file(folder / "projector_config.pbtxt") as partial:
        partial.write_text("".join(_entry(part) for part in found), encoding="utf-8")


def _colour(rank: str) -> str:
    if not rank:
        return "document"
    return "first" if rank == "1" else "near" if int(rank) <= _NEAR else "far"


def _sprites(kinds: Sequence[str]) -> npt.NDArray[np.uint8]:
    """One image of all points, row by row in a square: a disc in its colour for each, `[height, width, 4]`."""
    across = int(np.ceil(np.sqrt(len(kinds))))
    middle = (_SIDE - 1) / 2
    y, x = np.mgrid[:_SIDE, :_SIDE]
    disc = (x - middle) ** 2 + (y - middle) ** 2 <= middle**2
    image = np.zeros((across * _SIDE, across * _SIDE, 4), np.uint8)
    for number, kind in enumerate(kinds):
        top, left = number // across * _SIDE, number % across * _SIDE
        image[top : top + _SIDE, left : left + _SIDE][disc] = (*_COLOURS[kind], 255)
    return image


def _place(name: str) -> str:
    return f"projector/{name.replace(' ', '_')}"


def _entry(name: str) -> str:
    """What the projector reads of one set of points; the first one is shown first."""
    place = _place(name)
    return (
        f'embeddings {{\n  tensor_name: "{name}"\n  tensor_path: "{place}/tensors.tsv"\n'
        f'  metadata_path: "{place}/metadata.tsv"\n  sprite {{\n    image_path: "{place}/sprites.png"\n'
        f"    single_image_dim: {_SIDE}\n    single_image_dim: {_SIDE}\n  }}\n}}\n"
    )
