"""First names, to tell a person from a department: Russian ones of natasha, others of Faker.

Both packages carry them as data. Neither is imported: natasha's parts ask for what Python has no more,
and Faker's take seconds.
"""

import ast
import functools
import importlib.util
from pathlib import Path

# Languages of Faker whose names stand in Latin letters, as they do in English texts.
_LOCALES = (
    "en_US", "en_GB", "en_IE", "en_IN", "en_NG", "en_KE", "en_PK", "en_NZ", "de_DE", "es_ES", "es_MX", "fr_FR", "it_IT", "nl_NL",
    "pl_PL", "pt_BR", "ro_RO", "sv_SE", "tr_TR", "vi_VN",
)  # fmt: skip
_LISTS = ("first_names", "first_names_male", "first_names_female", "first_names_unisex")
# Names of some language that are mostly words in an English text.
_WORDS = frozenset((
    "an", "can", "art", "may", "will", "mark", "bill", "hope", "faith", "joy", "grant", "chase", "sales", "page",
    "rich", "dean", "major", "long", "young", "man", "see", "bay", "do", "my", "the", "van", "dung", "bao", "hoa",
    "hai", "nam", "son", "linh", "cong", "cam", "lan", "ho", "ai", "in", "on", "so", "to", "server", "floor",
    "marine", "job", "urban", "gun", "edit", "toy", "nail", "per", "charity", "ray", "jet", "comfort", "german",
    "danish", "sole", "georgian", "diamond", "purity", "peer", "canal", "flora", "junior", "mason", "peace",
    "crystal", "ion", "melody", "forum", "iris", "gene", "hunter", "summer", "patience", "love", "us", "ria", "lance",
    "angel", "tanner", "brandy", "violet", "dawn", "sem", "bas", "raf", "sai", "object", "subversion", "ceylon",
    "information", "dynamic", "dev", "python", "java", "swift", "scala", "english", "polish", "french", "roman",
))  # fmt: skip
# How a Russian name ends in another case, and what may stand there in the first one.
_ENDINGS = ("иями", "ией", "ии", "ию", "ой", "ей", "ом", "ем", "а", "у", "е", "ю", "я", "и", "ы")
_FIRST_CASE = ("", "а", "я", "й", "ь", "ия", "ий")


@functools.cache
def _russian() -> frozenset[str]:
    names = _package("natasha") / "data" / "dict" / "first.txt"
    return frozenset(word for word in names.read_text(encoding="utf-8").split() if len(word) > 2)


@functools.cache
def _latin() -> frozenset[str]:
    names: set[str] = set()
    for locale in _LOCALES:
        file = _package("faker") / "providers" / "person" / locale / "__init__.py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and any(
                isinstance(to, ast.Name) and to.id in _LISTS for to in node.targets
            ):
                names |= {word.value.casefold() for word in ast.walk(node.value)
                          if isinstance(word, ast.Constant) and isinstance(word.value, str)}  # fmt: skip
    return frozenset(name for name in names if len(name) > 1 and name not in _WORDS)


def is_first_name(word: str) -> bool:
    """Whether this is a first name, in any case of letters and of Russian grammar."""
    folded = word.casefold()
    if folded.isascii() or not "а" <= folded[0] <= "ё":
        return folded in _latin()
    if folded in _russian():
        return True
    for ending in _ENDINGS:
        stem = folded.removesuffix(ending)
        if len(stem) < 2 or stem == folded:
            continue
        # Павлу is of Павел.
        if any(stem + first in _russian() for first in _FIRST_CASE) or f"{stem[:-1]}е{stem[-1]}" in _russian():
            return True
    return False


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0])
