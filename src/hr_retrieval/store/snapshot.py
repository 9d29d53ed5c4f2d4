"""The passages of a small index in one file, which a search maps: no library of tables is loaded for it."""

from pathlib import Path

import pyarrow as pa

from hr_retrieval.errors import UserError, said
from hr_retrieval.files import whole_file


def snapshot_file(folder: Path, version: int) -> Path:
    """Where the passages of a version of the table lie."""
    return folder / f"passages-{version}.arrow"


def write_snapshot(folder: Path, version: int, rows: pa.Table) -> None:
    """Write the file, whole or not at all."""
    with whole_file(snapshot_file(folder, version)) as partial, pa.ipc.new_file(str(partial), rows.schema) as writer:
        writer.write_table(rows)


def read_snapshot(folder: Path, version: int) -> pa.Table:
    """The rows as they were written; what nobody looks at stays on disk.

    Raises:
        UserError: the file is not there, or is none.
    """
    path = snapshot_file(folder, version)
    try:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"the passages of the index in {path}", said(error), "Index the documents anew.") from error
