"""What a run directory, or any folder of results, holds of a person."""

import html
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hr_retrieval.files import whole_file
from hr_retrieval.forget.person import Person

# Weights and token ids: no text can be looked for in them.
_NUMBERS = {".ckpt", ".safetensors", ".npy", ".bin", ".pt", ".png"}


@dataclass
class FolderFindings:
    """Files of a folder.

    Attributes:
        rows: Parquet tables and how many of their rows tell the person, which can be taken out.
        boards: files of TensorBoard, which can be removed.
        others: files that have to be mended by hand.
        weights: whether weights lie there, in which no text can be looked for.
    """

    rows: dict[Path, int] = field(default_factory=dict)
    boards: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    weights: bool = False


def found_in(folder: Path, person: Person, but: Collection[Path] = ()) -> FolderFindings:
    """Look through every file below a folder, but for what lies in some folders of it."""
    found = FolderFindings()
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        if any(part in but for part in file.parents):
            continue
        if file.suffix in _NUMBERS:
            found.weights |= file.suffix in (".ckpt", ".safetensors")
        elif file.suffix == ".parquet":
            told = sum(person.rows(pq.read_table(file)))
            if told:
                found.rows[file] = told
        elif _says(file, person):
            (found.boards if "tensorboard" in file.relative_to(folder).parts else found.others).append(file)
    return found


def forget_in(found: FolderFindings, person: Person) -> None:
    """Take the rows out of the tables, and remove the files of TensorBoard."""
    for file in found.rows:
        table = pq.read_table(file)
        kept = [place for place, told in enumerate(person.rows(table)) if not told]
        with whole_file(file) as partial:
            pq.write_table(table.take(pa.array(kept, pa.int64())), partial, compression="zstd")
    for file in found.boards:
        file.unlink()


def _says(file: Path, person: Person) -> bool:
    # TensorBoard's tables are HTML within a binary file.
    return person.is_in(html.unescape(file.read_bytes().decode("utf-8", "replace")))
