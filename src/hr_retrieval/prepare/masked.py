"""Pieces of a source as they were and as they are masked, with the personal part itself hidden."""

import re
from collections import Counter
from itertools import islice

from hr_retrieval.prepare.clean import values_of
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.readers.reader import Reader
from hr_retrieval.privacy.masker import Masker

# Blocks of rows that are looked through, examples of each kind, and letters around a piece.
_BLOCKS, _EACH, _AROUND = 3, 2, 50


def masked_examples(reader: Reader, columns: Columns, masker: Masker) -> list[tuple[str, str, str]]:
    """Kind, before and after of some pieces of the first rows; before, each letter and digit of it is a bullet."""
    found: list[tuple[str, str, str]] = []
    seen: Counter[str] = Counter()
    for batch in islice(reader.batches(columns.names()), _BLOCKS):
        for row in batch.values:
            for name in columns.text_names():
                for text in values_of(row[name], columns.separators.get(name)):
                    for span in masker.spans(text) if isinstance(text, str) else ():
                        if seen[span.kind] < _EACH:
                            seen[span.kind] += 1
                            # What stands beside it may be personal too.
                            before = masker.masked(text[max(span.begin - _AROUND, 0) : span.begin])
                            behind = masker.masked(text[span.end : span.end + _AROUND])
                            hidden = re.sub(r"\w", "•", text[span.begin : span.end])
                            found.append((span.kind, f"{before}{hidden}{behind}", f"{before}[{span.kind}]{behind}"))
    return found
