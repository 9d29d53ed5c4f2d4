"""Pickled DataFrames as rows, read without running what a pickle may carry."""

import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pandas as pd
import pyarrow as pa

from hr_retrieval.errors import DAMAGED, UserError
from hr_retrieval.prepare.readers.packing import unpacked
from hr_retrieval.prepare.readers.reader import BATCH_ROWS, FilesReader, RawBatch, SourceFile, check_columns, readable
from hr_retrieval.prepare.readers.text_files import other_kind

# Where today's pandas and numpy keep what a frame is pickled as, and under which modules older ones
# named it. None of these runs code, opens files or imports modules, whatever arguments a pickle
# gives it.
_HOMES: dict[tuple[str, str], tuple[str, ...]] = {
    ("pandas", "DataFrame"): ("pandas.core.frame",),
    ("pandas", "Index"): ("pandas.core.indexes.base",),
    ("pandas", "RangeIndex"): ("pandas.core.indexes.range",),
    ("pandas", "StringDtype"): ("pandas.core.arrays.string_",),
    ("pandas", "NA"): ("pandas._libs.missing",),
    ("pandas", "Categorical"): ("pandas.core.arrays.categorical",),
    ("pandas", "CategoricalDtype"): ("pandas.core.dtypes.dtypes",),
    ("pandas.arrays", "ArrowStringArray"): ("pandas.core.arrays.string_arrow",),
    ("pandas.arrays", "StringArray"): ("pandas.core.arrays.string_",),
    ("pandas.arrays", "DatetimeArray"): ("pandas.core.arrays.datetimes",),
    ("pandas.core.indexes.base", "_new_Index"): (),
    ("pandas.core.internals.managers", "BlockManager"): (),
    ("pandas._libs.internals", "_unpickle_block"): (),
    ("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"): (),
    ("numpy", "ndarray"): (),
    ("numpy", "dtype"): (),
    ("numpy._core.multiarray", "_reconstruct"): ("numpy.core.multiarray",),
    ("numpy._core.multiarray", "scalar"): ("numpy.core.multiarray",),
    ("numpy._core.numeric", "_frombuffer"): ("numpy.core.numeric",),
    ("builtins", "slice"): ("__builtin__",),
    ("builtins", "bytearray"): ("__builtin__",),
    ("builtins", "bytes"): ("__builtin__",),
    ("pyarrow.lib", "py_buffer"): (),
    ("pyarrow.lib", "type_for_alias"): (),
    ("pyarrow.lib", "chunked_array"): (),
}
_ALLOWED = {(module, name): (home, name) for (home, name), olds in _HOMES.items() for module in (home, *olds)}
# pandas 1 had an index class a number type.
_ALLOWED |= {
    ("pandas.core.indexes.numeric", f"{kind}Index"): ("pandas", "Index") for kind in ("Int64", "UInt64", "Float64")
}


@dataclass(frozen=True)
class PickleReader(FilesReader):
    """A pickled DataFrame, such as the original system's `train.pkl`; nothing that a pickle may carry is run."""

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """The rows of the frames."""
        for file in self.inputs():
            with readable(file, "a pickled DataFrame"):
                frame = read_frame(file)
            # A forged one may be half a frame.
            with _whole(file):
                # pandas numbers the columns of what had no header.
                frame.columns = [str(name) for name in frame.columns]
                check_columns(file, list(frame.columns), wanted)
                for begin in range(0, len(frame), BATCH_ROWS):
                    part = frame.iloc[begin : begin + BATCH_ROWS]
                    columns = [part[name].tolist() for name in wanted]
                    values = [dict(zip(wanted, cells, strict=True)) for cells in zip(*columns, strict=True)]
                    yield RawBatch(str(file), range(begin, begin + len(part)), values)


def read_frame(path: SourceFile) -> pd.DataFrame:
    """Read a DataFrame that `DataFrame.to_pickle` wrote.

    Raises:
        UserError: the stream asks for anything that a frame of texts and numbers does not need
            (nothing of it is run), is broken or an archive, or holds something else.
    """
    kind = other_kind(path)
    if kind:
        raise UserError("a pickle", f"{path}, which is {kind[0]}", kind[1])
    with unpacked(path) as file, _whole(path):
        frame = _FrameUnpickler(file).load()
    if type(frame) is not pd.DataFrame:
        raise UserError(
            "a pickled DataFrame",
            f"a {type(frame).__name__} in {path}",
            "Put the rows into a DataFrame, or use JSON lines.",
        )
    return frame


@contextmanager
def _whole(path: SourceFile) -> Iterator[None]:
    try:
        yield
    except (*DAMAGED, pickle.UnpicklingError) as error:
        raise UserError(
            "a pickled DataFrame of texts and numbers",
            f"{path}, which does not read ({type(error).__name__}: {error})",
            "Write it again, better as Parquet: frame.to_parquet(...).",
        ) from error


class _FrameUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _encode_latin1
        if (module, name) == ("pyarrow.lib", "_restore_array"):
            return _restore_array
        home = _ALLOWED.get((module, name))
        if home is None:
            raise UserError(
                "a pickle that only rebuilds a DataFrame of texts and numbers",
                f"one that asks for {module}.{name}",
                "It was not run. If you trust its author: pandas.read_pickle(...).to_parquet(...).",
            )
        return getattr(import_module(home[0]), home[1])


def _encode_latin1(text: str, encoding: str) -> bytes:
    """How protocol 2 carries bytes; other codecs could unpack a small stream into a huge one."""
    if encoding != "latin1":
        raise ValueError(f"codec {encoding}")
    return text.encode("latin-1")


def _restore_array(data: Any) -> Any:
    """An Arrow array whose offsets are checked: a forged one would read outside its buffers."""
    array = pa.lib._restore_array(data)
    array.validate(full=True)
    return array
