"""Parquet files that are none, or damaged."""

from pathlib import Path

import pandas as pd
import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.parquet import ParquetReader
from tests.prepare.readers.sources import read


def test_something_else_that_is_called_parquet(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_text("position,description\na,b\n")
    with pytest.raises(UserError, match="Parquet"):
        read(ParquetReader(str(tmp_path / "rows.parquet")))


def test_a_damaged_page(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"position": [f"text {number}" * 50 for number in range(500)]}).to_parquet(path)
    content = bytearray(path.read_bytes())
    content[100:2000] = bytes(1900)
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"a whole Parquet file at .*rows\.parquet"):
        read(ParquetReader(str(path)), ["position"])
