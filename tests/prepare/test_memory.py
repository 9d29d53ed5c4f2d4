"""Reading may take what files of their size can ask for, and no more."""

import resource

import numpy as np
import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.memory import within_memory


def test_what_takes_more_is_one_message_and_the_limit_goes() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with (
        pytest.raises(UserError, match=r"within the memory that it may take, 800 MB for 1,000 bytes; got"),
        within_memory([1000]),
    ):
        np.empty(2 << 30, np.uint8)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@pytest.mark.parametrize("sizes", [[], [None], [1000, None], [40 << 20]])
def test_large_files_and_such_of_no_known_size_may_take_it(sizes: list[int | None]) -> None:
    with within_memory(sizes):
        # Pages that nobody looks at take no room.
        assert len(np.empty(2 << 30, np.uint8)) == 2 << 30
