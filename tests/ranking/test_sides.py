"""What a mixing needs beside the embeddings is what a plain loop over the texts gives."""

import torch
from torch.nn import functional as F

from hr_retrieval.baselines.systems import CharacterTfidf
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.ranking.sides import Sides
from hr_retrieval.retrieval.mixing import Composition, LexicalMixing, ViewMixing

QUERIES, DOCUMENTS = ["a welder", "nurse"], ["welders weld", "a nurse nurses", "pilot"]


def test_n_grams_are_those_of_the_baseline_and_views_the_mean_of_the_wordings() -> None:
    encoder = Encoder("tiny")
    embedded = encoder.encode(QUERIES, "query"), encoder.encode(DOCUMENTS, "document")
    views = ViewMixing(query_templates=("He is {text}.",), document_templates=("{text}!", "The {text}."))
    sides = Sides(Composition.of(views, LexicalMixing()), encoder, lambda: DOCUMENTS, embedded[1])
    queries, documents = sides.queries(lambda: QUERIES, embedded[0]), sides.corpus.side
    assert queries.ngrams is not None
    assert documents.ngrams is not None
    scores = torch.from_numpy((queries.ngrams @ documents.ngrams.T).toarray())
    torch.testing.assert_close(scores, CharacterTfidf(QUERIES, DOCUMENTS).scores(torch.arange(2)))
    assert queries.views is not None
    assert documents.views is not None
    torch.testing.assert_close(queries.views, encoder.encode(["He is a welder.", "He is nurse."], "query"))
    both = [
        encoder.encode([form.format(text=text) for text in DOCUMENTS], "document")
        for form in ("{text}!", "The {text}.")
    ]
    torch.testing.assert_close(documents.views, F.normalize(both[0] + both[1], dim=1))


def test_texts_are_read_only_where_they_are_needed() -> None:
    encoder = Encoder("tiny")

    def unread() -> list[str]:
        raise AssertionError("nobody needs the texts")

    sides = Sides(Composition(), encoder, unread, encoder.encode(DOCUMENTS, "document"))
    assert sides.queries(unread, encoder.encode(QUERIES, "query")).views is None
