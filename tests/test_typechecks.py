"""What is checked at run time: shapes that agree within a call, and plain types, of functions and of dataclasses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from beartype import beartype
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from hr_retrieval.prepare.clean import clean
from hr_retrieval.retrieval.relevance import Relevance
from tests.typechecks import checked

check: Callable[[Any], Any] = checked(typechecker=beartype)


def test_shapes_agree_within_a_call() -> None:
    @check
    def product(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"] | None) -> Float[Tensor, "n m"]:
        return a @ (a if b is None else b).T

    assert product(torch.ones(2, 3), torch.ones(4, 3)).shape == (2, 4)
    with pytest.raises(TypeCheckError):
        product(torch.ones(2, 3), torch.ones(4, 2))
    with pytest.raises(TypeCheckError):
        product(torch.ones(2, 3), torch.ones(3))


def test_plain_types_are_checked_of_arguments_results_and_fields() -> None:
    @check
    def text(number: int) -> str:
        return "a" if number else number  # type: ignore[return-value]

    @check
    @dataclass(frozen=True)
    class Row:
        name: str
        values: list[int]

    assert text(1) == "a"
    assert Row("a", [1]).values == [1]
    for wrong in (lambda: text("1"), lambda: text(0), lambda: Row(1, [1]), lambda: Row("a", ["1"])):
        with pytest.raises(TypeError):
            wrong()


def test_ours_are_among_them() -> None:
    with pytest.raises(TypeError):
        clean(1)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Relevance(1, 2)  # type: ignore[arg-type]
