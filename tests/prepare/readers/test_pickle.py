"""Pickles: frames are read, everything else is refused and not run."""

import builtins
import functools
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.pickle import PickleReader, read_frame
from tests.prepare.readers.sources import read, rows_of

FRAME = pd.DataFrame({"position": ["инженер", "b", None], "description": ["x", "y\n", "z"], "n": [1, 2, 3]})
FRAMES = {
    "str": FRAME,
    "object": FRAME.astype(object),
    "python strings": FRAME.astype({"position": pd.StringDtype("python")}),
    "arrow strings": FRAME.astype({"position": pd.StringDtype("pyarrow")}),
    "sliced": FRAME.iloc[[0, 2]],
    "category": FRAME.astype({"position": "category"}),
    "concatenated": pd.concat([FRAME, FRAME]),
    "lists": FRAME.assign(description=[["x"], [], ["y", "z"]]),
    "floats, flags and dates": FRAME.assign(f=[0.5, np.nan, 1], b=True, d=pd.Timestamp("2020-01-01")),
    "empty": FRAME.iloc[:0],
}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", FRAMES)
def test_frames_come_back(tmp_path: Path, name: str, protocol: int) -> None:
    FRAMES[name].to_pickle(tmp_path / "train.pkl", protocol=protocol)
    pd.testing.assert_frame_equal(read_frame(tmp_path / "train.pkl"), FRAMES[name])


def test_old_homes_of_the_same_classes_are_known(tmp_path: Path) -> None:
    stream = pickle.dumps(FRAME.astype(object)[["n"]], protocol=2)
    for new, old in (
        (b"cpandas\nDataFrame\n", b"cpandas.core.frame\nDataFrame\n"),
        (b"cpandas\nRangeIndex\n", b"cpandas.core.indexes.range\nRangeIndex\n"),
        (b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"),
    ):
        assert new in stream
        stream = stream.replace(new, old)
    (tmp_path / "old.pkl").write_bytes(stream)
    assert read_frame(tmp_path / "old.pkl")["n"].tolist() == [1, 2, 3]


class Bomb:
    """Pickles to a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def bombs(mark: Path) -> dict[str, Any]:
    write = f"open({str(mark)!r}, 'w').close()"
    return {
        "os.system": Bomb(os.system, f"touch {mark}"),
        "eval": Bomb(builtins.eval, write),
        "exec": Bomb(builtins.exec, write),
        "open": Bomb(builtins.open, str(mark), "w"),
        "getattr": Bomb(builtins.getattr, FRAME, "to_csv"),
        "partial": Bomb(functools.partial, builtins.open, str(mark), "w"),
        "read_pickle": Bomb(pd.read_pickle, str(mark)),
        "pathlib": Bomb(Path.touch, mark),
        "nested in a cell": pd.DataFrame({"position": pd.Series([Bomb(os.system, f"touch {mark}")], dtype=object)}),
        "nested in a call": Bomb(np.ndarray, Bomb(os.system, f"touch {mark}")),
        "other codec": Bomb(__import__("_codecs").encode, "x", "zlib"),
    }


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", bombs(Path("mark")))
def test_bombs_are_refused_and_do_not_go_off(tmp_path: Path, name: str, protocol: int) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "bomb.pkl").write_bytes(pickle.dumps(bombs(mark)[name], protocol=protocol))
    with pytest.raises(UserError):
        read_frame(tmp_path / "bomb.pkl")
    assert not mark.exists()


def test_the_test_bombs_do_go_off_elsewhere(tmp_path: Path) -> None:
    for name in ("os.system", "eval", "nested in a cell"):
        mark = tmp_path / "mark"
        pickle.loads(pickle.dumps(bombs(mark)[name]))
        assert mark.exists()
        mark.unlink()


def test_the_refused_name_is_given(tmp_path: Path) -> None:
    (tmp_path / "bomb.pkl").write_bytes(pickle.dumps(Bomb(builtins.eval, "1")))
    with pytest.raises(UserError, match=r"builtins\.eval"):
        read_frame(tmp_path / "bomb.pkl")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80",
        b"no pickle at all",
        pickle.dumps(FRAME)[:-40],
        pickle.dumps(FRAME)[:60],
        # numpy.dtype("f8") with a number for its state, which numpy takes for its own fault.
        b"\x80\x02cnumpy\ndtype\nX\x02\0\0\0f8\x89\x88\x87RK\x01b.",
    ],
)
def test_broken_streams(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train.pkl").write_bytes(content)
    with pytest.raises(UserError, match="does not read"):
        read_frame(tmp_path / "train.pkl")


def test_other_contents_and_archives(tmp_path: Path) -> None:
    (tmp_path / "list.pkl").write_bytes(pickle.dumps(["a", "b"]))
    with pytest.raises(UserError, match="a list"):
        read_frame(tmp_path / "list.pkl")
    FRAME.to_pickle(tmp_path / "train.zip")
    with pytest.raises(UserError, match=r"which is a zip archive.*Unpack"):
        read_frame(tmp_path / "train.zip")


def test_numbered_columns_of_a_frame(tmp_path: Path) -> None:
    pd.DataFrame([["a", "b"]]).to_pickle(tmp_path / "rows.pkl")
    assert rows_of(read(PickleReader(str(tmp_path / "rows.pkl")), ["0", "1"])) == [{"0": "a", "1": "b"}]
    frame = pd.DataFrame([["a", "b"]], columns=[0, "0"])
    frame.to_pickle(tmp_path / "rows.pkl")
    with pytest.raises(UserError, match="several"):
        read(PickleReader(str(tmp_path / "rows.pkl")), ["0"])


def test_half_a_frame(tmp_path: Path) -> None:
    # DataFrame.__new__(DataFrame), and no more.
    (tmp_path / "train.pkl").write_bytes(b"\x80\x02cpandas\nDataFrame\n)\x81.")
    with pytest.raises(UserError, match="does not read"):
        read(PickleReader(str(tmp_path / "train.pkl")))
