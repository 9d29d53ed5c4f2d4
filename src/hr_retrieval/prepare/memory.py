"""What reading a source may take of memory, so that a small file that unfolds to much ends in one message."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from hr_retrieval.errors import UserError

# Bytes beside what the process has: in all, and for each byte of the files. Texts of any packing
# need a fifth of that.
_FREE, _BY_BYTE = 800 << 20, 64
_RESERVE = 8 << 20
# Only Linux says what a process holds in the sense of its limits.
_HELD = Path("/proc/self/statm")


@contextmanager
def within_memory(sizes: Sequence[int | None]) -> Iterator[None]:
    """Let this process take no more than files of these sizes can ask for.

    Args:
        sizes: bytes of each file; without any, or with one that is not known, there is no limit.

    Raises:
        UserError: it asked for more than that, or than there is.
    """
    known = [size for size in sizes if size is not None]
    allowed = _FREE + _BY_BYTE * sum(known)
    limited = bool(known) and len(known) == len(sizes) and _HELD.exists()
    with _limit(allowed) if limited else nullcontext():
        try:
            yield
            return
        except MemoryError:
            pass
    # What was read is gone, and so is the limit.
    bounds = f"{allowed >> 20:,} MB for {sum(known):,} bytes" if limited else "what the machine has"
    raise UserError(
        f"a source that is read within the memory that it may take, {bounds}",
        "one that asks for more, as a bomb does",
        "If it is none, unpack it first, or write it anew as Parquet or JSON lines.",
    )


@contextmanager
def _limit(allowed: int) -> Iterator[None]:
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit = int(_HELD.read_text().split()[5]) * resource.getpagesize() + allowed
    if any(0 <= bound < limit for bound in before):
        # Somebody else's is narrower.
        yield
        return
    # Given back first: to lift the limit takes some memory, too.
    reserve = [bytearray(_RESERVE)]
    resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    try:
        yield
    finally:
        reserve.clear()
        resource.setrlimit(resource.RLIMIT_DATA, before)
