"""The file of a small index's passages."""

from pathlib import Path

import pyarrow as pa
import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.store.snapshot import read_snapshot, snapshot_file, write_snapshot


def test_what_was_written_is_mapped_and_anything_else_is_one_error(tmp_path: Path) -> None:
    rows = pa.table({"document_id": ["a", "b"], "text": ["сварщик", None], "passage": pa.array([0, 1], pa.int32())})
    write_snapshot(tmp_path, 3, rows)
    write_snapshot(tmp_path, 4, rows.slice(0, 0))
    assert read_snapshot(tmp_path, 3).equals(rows)
    assert len(read_snapshot(tmp_path, 4)) == 0
    snapshot_file(tmp_path, 5).write_bytes(b"ARROW1 and no more")
    for version in (5, 6):
        with pytest.raises(UserError, match=rf"passages-{version}.arrow.*Index the documents anew"):
            read_snapshot(tmp_path, version)
