"""What reading a source may take of memory, so that a small file that unfolds to much ends in one message."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hr_retrieval.errors import UserError

# Bytes beside what the process has: in all, and for each byte of the files. Texts of any packing
# need a fifth of that.
_FREE, _BY_BYTE = 800 << 20, 64
# Only Linux says what a process holds in the sense of its limits.
_HELD = Path("/proc/self/statm")


@contextmanager
def within_memory(sizes: Sequence[int | None]) -> Iterator[None]:
    """Let this process take no more than files of these sizes can ask for.

    Args:
        sizes: bytes of each file; without any, or with one that is not known, there is no limit.

    Raises:
        UserError: it asked for more.
    """
    known = [size for size in sizes if size is not None]
    if not known or len(known) < len(sizes) or not _HELD.exists():
        yield
        return
    import resource

    allowed = _FREE + _BY_BYTE * sum(known)
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = int(_HELD.read_text().split()[5]) * resource.getpagesize() + allowed
    if 0 <= hard < limit or 0 <= soft < limit:
        # Somebody else's is narrower.
        yield
        return
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    except MemoryError:
        raise UserError(
            f"a source of {sum(known):,} bytes that is read within {allowed >> 20:,} MB of memory",
            "one that takes more, as a bomb does",
            "If it is none, unpack it first, or write it anew as Parquet or JSON lines.",
        ) from None
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
