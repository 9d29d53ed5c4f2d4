"""The language that a text is in, one of some that its source may hold: by py3langid, which brings its model along."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from hr_retrieval.errors import UserError
from hr_retrieval.extras import check_extra


class LanguageFinder:
    """Tells languages apart by their letter sequences (Lui and Baldwin 2012).

    Titles of two words hold so little that a choice among all languages errs often: it is among those
    that are named.

    Args:
        languages: codes of ISO 639-1, at least two.

    Raises:
        UserError: they are fewer or unknown, or the package is missing.
    """

    def __init__(self, languages: Sequence[str]) -> None:
        check_extra("cleaning", "py3langid")
        self._languages = list(languages)
        if isinstance(languages, str) or len(set(self._languages)) < 2:
            raise UserError("at least two codes in data.languages", repr(languages), "Say 'data.languages=[ru,en]'.")
        known = self._identifier.labels
        strange = [code for code in self._languages if code not in known]
        if strange:
            raise UserError(f"codes in data.languages of {', '.join(sorted(known))}", repr(strange[0]), "Take these.")
        self._identifier.set_languages(self._languages)

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """The code of each text."""
        return [str(self._identifier.classify(text.lower())[0]) for text in texts]

    @cached_property
    def _identifier(self) -> Any:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        return LanguageIdentifier.from_model_file(MODEL_FILE)
