"""How much of what is personal is masked, and how much of what is masked is personal, by kind and language.

    python -m benchmarks.masking [--choice all] [--seed 1] [--unseen] [--show] [--peer natasha|presidio]

Recall is the share of the marked pieces of `benchmarks.labelled_texts` of which nothing is left;
precision the share of the masks of a kind that touch a marked piece. Both are of texts that were
written for this, with `--unseen` after the rules: on others expect less. Some seconds.
`--peer` measures somebody else's masker in place of ours: the names that natasha's Slovnet finds, or
what Presidio's recognisers find, which need no model (`pip install presidio-analyzer`, in another environment).
"""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.labelled_texts import Labelled, labelled_texts
from hr_retrieval.markdown import markdown_table
from hr_retrieval.privacy.masker import KINDS, Masker
from hr_retrieval.privacy.persons import persons
from hr_retrieval.privacy.span import Span

Finder = Callable[[str], Sequence[Span]]
Figures = dict[tuple[str, str], tuple[int, int, int, int]]


def figures(texts: Sequence[Labelled], finder: Finder, show: bool = False) -> Figures:
    """By language and kind: pieces marked and found, masks made and right."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for own in texts:
        spans = finder(own.text)
        hidden = {place for span in spans for place in range(span.begin, span.end)}
        marked = {place for _, begin, end in own.spans for place in range(begin, end)}
        for kind, begin, end in own.spans:
            found = all(place in hidden for place in range(begin, end))
            counts[own.language, kind, "marked"] += 1
            counts[own.language, kind, "found"] += found
            if show and not found:
                print(f"missed {kind}: {own.text[begin:end]!r} in {own.text!r}")
        for span in spans:
            right = not marked.isdisjoint(range(span.begin, span.end))
            counts[own.language, span.kind, "made"] += 1
            counts[own.language, span.kind, "right"] += right
            if show and not right:
                print(f"wrong {span.kind}: {own.text[span.begin : span.end]!r} in {own.text!r}")
    keys = [(language, kind) for language in ("ru", "en") for kind in KINDS]
    columns = ("marked", "found", "made", "right")
    return {(language, kind): tuple(counts[language, kind, column] for column in columns) for language, kind in keys}  # type: ignore[misc]


def presidio() -> Finder:
    """What Presidio finds by patterns and check digits; its names need a model of spaCy's."""
    from presidio_analyzer.predefined_recognizers import (
        CreditCardRecognizer,
        EmailRecognizer,
        IbanRecognizer,
        PhoneRecognizer,
        UrlRecognizer,
        UsSsnRecognizer,
    )  # fmt: skip

    kinds = {"EMAIL_ADDRESS": "e-mail", "PHONE_NUMBER": "phone", "URL": "link", "US_SSN": "document", "IBAN_CODE": "document",
             "CREDIT_CARD": "document"}  # fmt: skip
    own: list[Any] = [EmailRecognizer(), PhoneRecognizer(supported_regions=("RU", "US", "GB")), UrlRecognizer(), UsSsnRecognizer(),
                      IbanRecognizer(), CreditCardRecognizer()]  # fmt: skip

    def find(text: str) -> list[Span]:
        results = [
            found for recogniser in own for found in recogniser.analyze(text, recogniser.supported_entities, None) or ()
        ]
        return [Span(kinds[found.entity_type], found.start, found.end) for found in results]

    return find


def main() -> None:
    """Mask, count and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--choice", default="contacts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--unseen", action="store_true")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--peer", choices=("natasha", "presidio"))
    given = parser.parse_args()
    finder = (
        presidio()
        if given.peer == "presidio"
        else (lambda text: list(persons(text)))
        if given.peer
        else Masker(given.choice).spans
    )
    texts = labelled_texts(seed=given.seed, unseen=given.unseen)
    rows = [["language", "kind", "pieces", "recall", "masks", "precision"]]
    for (language, kind), (marked, found, made, right) in figures(texts, finder, given.show).items():
        shares = [f"{part / whole:.3f}" if whole else "-" for part, whole in ((found, marked), (right, made))]
        rows.append([language, kind, str(marked), shares[0], str(made), shares[1]])
    print(markdown_table(rows, text=(0, 1)))


if __name__ == "__main__":
    main()
