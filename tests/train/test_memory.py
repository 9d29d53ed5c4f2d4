import os
import platform
import resource
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
import torch

from hr_retrieval.errors import UserError
from hr_retrieval.train.memory import _CHOSEN_BY_USER, BatchSize, keep_freed_memory


def record_faults(path: Path, keep: bool) -> None:
    """How many pages a block of 64 MiB takes from the kernel after another one was freed."""
    for name in _CHOSEN_BY_USER:
        os.environ.pop(name, None)
    if keep:
        assert keep_freed_memory()

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        bytearray(b"x") * (64 << 20)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults()
    path.write_text(str(faults()))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc")
def test_the_pages_of_a_freed_block_are_there_for_the_next_one(processes: ForkServerContext, tmp_path: Path) -> None:
    found = []
    for keep in (True, False):
        process = processes.Process(target=record_faults, args=(tmp_path / "faults", keep))
        process.start()
        process.join()
        assert process.exitcode == 0
        found.append(int((tmp_path / "faults").read_text()))
    assert found[0] < 100 < found[1]


def test_what_the_environment_says_of_the_allocator_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert not keep_freed_memory()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        MemoryError(),
    ],
)
def test_whoever_lacks_memory_is_told_what_helps(error: MemoryError | RuntimeError) -> None:
    with pytest.raises(UserError, match=r"datamodule\.batch_size=4"), BatchSize().explained(None, 8):
        raise error


def test_the_setting_named_is_always_smaller_than_the_one_that_failed() -> None:
    size = BatchSize()
    size.texts = 24
    for mini_batch, expected in ((None, 12), (100, 12), (8, 4), (1, 1)):
        explained = size.explain(MemoryError(), mini_batch, 8)
        assert explained is not None
        assert f"model.mini_batch={expected} " in str(explained)
    assert size.explain(RuntimeError("another fault"), None, 8) is None
