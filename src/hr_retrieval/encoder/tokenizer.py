"""Texts to token ids, by a copy of the tokenizer of an encoder's folder."""

import hashlib
import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Encoding, Tokenizer

from hr_retrieval.encoder.ragged import Ragged
from hr_retrieval.errors import UserError

# What tokenizers differ in: case, accents, scripts, digits, spaces, punctuation, marks, symbols.
_MIXED_TEXTS = (
    "Software Engineer (m/w/d), C++/C#", "senior accountant", "HR", "don't re-use e-mail addresses",
    "Повар-кондитер 5 разряда", "ВОДИТЕЛЬ категории C, ёмкость й", "инженер 1С", "naïve café résumé Zürich",
    "cafe\u0301 и\u0306 n\u0303", "3.14 1,000,000 2026 007", "welder\tand\nfitter", "two  spaces   and more",
    " leading and trailing ", "no.space.after.stops", "Wi-Fi/5G & «кавычки» – тире — №1", "👩‍🔧 🚀 ok", "東京 エンジニア 개발자",
    "مهندس हिन्दी ไทย", "ﬁtter ＡＢＣ ½ ™", "a\u200bb\u00a0c", "_snake_case_ CamelCase __init__", "", " ",
)  # fmt: skip


class FolderTokenizer:
    """Token ids of texts with special tokens, cut at `max_length` tokens.

    Args:
        tokenizer: of the library. It gets other truncation and padding with each call, so this is a
            copy.
        side: where texts are cut, right or left.
    """

    def __init__(self, tokenizer: Tokenizer, max_length: int, side: str = "right") -> None:
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length, direction=side)
        self._max_length = max_length

    def __call__(self, texts: list[str]) -> tuple[Ragged, int]:
        """The ids, and how many texts were cut."""
        encodings = self._tokenizer.encode_batch_fast(texts)
        ids = [encoding.ids for encoding in encodings]
        # `overflowing` copies what was cut: ask only where something can have been.
        full = (encoding for encoding, row in zip(encodings, ids, strict=True) if len(row) >= self._max_length)
        cut = sum(bool(encoding.overflowing) for encoding in full)
        lengths = torch.tensor([len(row) for row in ids], dtype=torch.long)
        # Three times as fast as a tensor from a list, which counts for millions of texts.
        flat = np.fromiter(chain.from_iterable(ids), np.int64, int(lengths.sum()))
        return Ragged.from_lengths(torch.from_numpy(flat), lengths), cut

    def encodings(self, texts: list[str]) -> list[Encoding]:
        """The tokens with where each stands in its text."""
        return self._tokenizer.encode_batch(texts)

    def lengths(self, texts: list[str]) -> list[int]:
        """Tokens of each text if nothing were cut."""
        whole = self.copy()
        whole.no_truncation()
        return [len(encoding.ids) for encoding in whole.encode_batch_fast(texts)]

    def copy(self) -> Tokenizer:
        """A tokenizer of the same ids, to be set otherwise."""
        return Tokenizer.from_str(self._tokenizer.to_str())

    def fingerprint(self, *wording: Any) -> str:
        """A hash of tokenizer, truncation and, as JSON has it, what is put around each text."""
        parts = json.dumps([self._tokenizer.to_str(), self._max_length, *wording], sort_keys=True)
        return hashlib.sha256(parts.encode()).hexdigest()[:32]


def check_tokenizer(folder: Path, module: Any) -> None:
    """Raise `UserError` if the tokenizer of a transformer of the library gives other ids than its own tokenizer.json.

    transformers 5 builds the tokenizer of a named class anew from the vocabulary, whatever else the
    file says.
    """
    path = folder / "tokenizer.json"
    if not path.exists():
        return
    own = Tokenizer.from_file(str(path))
    own.no_padding()
    own.no_truncation()
    for text in _MIXED_TEXTS:
        # An option of the folder, which the library adds to the tokenizer.
        text = text.lower() if module.do_lower_case else text
        expected, found = own.encode(text).ids, module.tokenizer(text).input_ids
        if expected != found:
            raise UserError(
                f"the token ids of {path} for {text!r}: {expected}",
                f"{found} by the class {type(module.tokenizer).__name__}, which transformers builds anew",
                f'Write "tokenizer_class": "PreTrainedTokenizerFast" into {path.with_name("tokenizer_config.json")} '
                "(of a copy, if it lies in the hub's cache): the file is then used as it is. If the model was trained "
                "with the ids of the class, remove tokenizer.json where the vocabulary has a file of its own.",
            )
