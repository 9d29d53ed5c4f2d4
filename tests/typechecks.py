"""Types are checked at every call; where a signature names no array, by beartype alone.

jaxtyping's own wrapper binds the arguments and checks them twice, for shapes that agree within a
call. Most functions know no arrays, and some are called for every row of a table: there it takes
most of a test's time.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, get_args

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray

_jaxtyped = jaxtyping.jaxtyped
# As jaxtyping's own wrapper, and Python itself, tell it.
_plain = beartype(conf=BeartypeConf(violation_type=TypeError))


def install() -> None:
    """Have the import hook use `checked`; before anything of ours is imported."""
    jaxtyping.jaxtyped = checked  # type: ignore[assignment]


def checked(made: Any = None, *, typechecker: Callable[[Any], Any]) -> Any:
    """What the import hook puts around every function and every class."""
    if made is None:
        return functools.partial(checked, typechecker=typechecker)
    if inspect.isclass(made):
        if dataclasses.is_dataclass(made):
            made.__init__ = checked(made.__init__, typechecker=typechecker)  # type: ignore[misc]
        return made
    annotations = inspect.get_annotations(made).values()
    # Names in quotes may be of nothing that can be imported, such as what only a checker of types sees.
    if any(isinstance(one, str) or names_array(one) for one in annotations):
        return _jaxtyped(made, typechecker=typechecker)
    return _plain(made)


def names_array(annotation: object) -> bool:
    """Whether an annotation is an array of a stated shape, or is made of one."""
    if inspect.isclass(annotation) and issubclass(annotation, AbstractArray):
        return True
    return any(map(names_array, get_args(annotation)))
