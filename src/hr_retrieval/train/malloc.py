"""Memory that training frees and needs again."""

import ctypes
import os

# Numbers and names that glibc gives these in malloc.h and to the environment.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_CHOSEN_BY_USER = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
_UP_TO = 1 << 30


def keep_freed_memory() -> bool:
    """Let glibc keep blocks of up to a gigabyte that this process frees, instead of giving their pages back.

    A training step on a CPU frees and allocates the same large blocks each time: activations, the gradient of the embedding
    table. By default their pages go back to the kernel, which fills them with zeros and maps them one by one in the
    next step.

    Returns:
        whether it took effect: not without glibc, nor where the environment sets the allocator already.
    """
    if any(name in os.environ for name in _CHOSEN_BY_USER):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(bool(set_option(option, _UP_TO)) for option in (_TRIM_THRESHOLD, _MMAP_THRESHOLD))
