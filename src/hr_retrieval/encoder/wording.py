"""What stands around a text when an encoder reads it: a prefix, or a template that says where the text goes."""

from collections.abc import Mapping
from typing import Literal, get_args

from hr_retrieval.errors import UserError

Kind = Literal["query", "document"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Where a template has the text.
PLACE = "{text}"


def around(prefix: str | None, template: str | None, kind: Kind) -> tuple[str | None, str]:
    """What is put before and behind each text of a kind.

    Returns:
        The part before it, `None` where neither option says anything; and the part behind it.

    Raises:
        UserError: both are given, the template has not `{text}` once, or the prefix has it.
    """
    if template is None:
        if prefix is not None and PLACE in prefix:
            raise UserError(
                f"a {kind}_prefix that is put before the text", repr(prefix), f"With {PLACE} it is a {kind}_template."
            )
        return prefix, ""
    if prefix is not None:
        raise UserError(
            f"{kind}_prefix or {kind}_template",
            f"both: {prefix!r} and {template!r}",
            "Write the prefix into the template.",
        )
    if template.count(PLACE) != 1:
        raise UserError(
            f"a {kind}_template with {PLACE} in it, once",
            repr(template),
            f"Write {PLACE} where the text goes, such as 'The job title is \"{PLACE}\".'",
        )
    before, behind = template.split(PLACE)
    return before, behind


def templates(prefixes: Mapping[Kind, str], suffixes: Mapping[Kind, str]) -> dict[str, str]:
    """The options of an encoder that read texts in these words."""
    return {f"{kind}_template": f"{prefix}{PLACE}{suffixes[kind]}" for kind, prefix in prefixes.items()}


def check_prompts(suffixes: Mapping[Kind, str]) -> None:
    """Raise `UserError` unless the prompts of Sentence Transformers, which stand before a text, can say it all."""
    for kind, suffix in suffixes.items():
        if suffix:
            raise UserError(
                f"a {kind}_template that ends with {PLACE}, as prompts of Sentence Transformers stand before a text",
                f"{suffix!r} behind it",
                "Keep the run directory, which evaluate reads as it is, and train with export=false; or end the template "
                f"with {PLACE}.",
            )
