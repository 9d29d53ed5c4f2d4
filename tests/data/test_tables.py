from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hr_retrieval.data.tables import column_batches, parquet_file, take_rows


def test_what_was_read_of_a_table_is_let_go(tmp_path: Path) -> None:
    groups, rows = 40, 1000
    texts = pa.array([f"{number:0500}" for number in np.random.default_rng(1).permutation(rows)])
    with pq.ParquetWriter(tmp_path / "t.parquet", pa.schema({"text": pa.string()}), use_dictionary=False, compression="none") as writer:  # fmt: skip
        for _ in range(groups):
            writer.write_table(pa.table({"text": texts}))
    before, held, read = pa.total_allocated_bytes(), [], 0
    for batch in column_batches(tmp_path / "t.parquet", ["text"]):
        read += batch.num_rows
        held.append(pa.total_allocated_bytes() - before)
    assert read == groups * rows
    # A batch is four of the groups, and as much is decoded.
    assert max(held) < (tmp_path / "t.parquet").stat().st_size / 2


def test_rows_come_in_the_order_asked_for(tmp_path: Path) -> None:
    pq.write_table(pa.table({"number": np.arange(100)}), tmp_path / "t.parquet", row_group_size=7)
    wanted = np.array([99, 0, 13, 13, 50])
    with parquet_file(tmp_path / "t.parquet") as file:
        assert take_rows(file, wanted, ["number"])["number"].to_pylist() == wanted.tolist()
