"""What a sample of texts says of an encoder: cut texts, and words that its tokenizer takes to pieces."""

from dataclasses import dataclass

import pytest

from hr_retrieval.data.fit import fit_of
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.wording import Kind


@dataclass
class Letters:
    """Reads so many tokens; a word is so many tokens long, and each text has some beside its words."""

    max_length: int
    a_word: int
    longest: int | None = 512
    beside: int = 0

    def token_counts(self, texts: list[str], kind: Kind) -> list[int]:
        return [self.a_word * len(text.split()) + self.beside for text in texts]


def test_what_is_cut_and_what_would_read_it() -> None:
    texts = ["слово " * 50] * 2 + ["слово " * 150] * 8
    fit = fit_of(Letters(100, 2), texts, "document")
    # 100 tokens of 100 are read, and 100 of 300.
    assert (fit.cut, fit.read) == (0.8, pytest.approx(1000 / 2600))
    assert (fit.length, fit.cost) == (384, pytest.approx(2600 / 1000))
    assert (fit.script, fit.tokens_a_word, fit.broken) == ("Cyrillic", 2.0, False)


def test_no_more_is_proposed_than_the_encoder_can_read() -> None:
    assert fit_of(Letters(128, 2, 256), ["слово " * 900], "document").length == 256
    assert fit_of(Letters(128, 2, 128), ["слово " * 900], "document").length is None
    assert fit_of(Letters(128, 2), ["слово " * 9], "document").length is None


def test_words_in_pieces_are_noticed_where_there_are_words() -> None:
    assert fit_of(Letters(128, 6), ["медицинская сестра"], "query").broken
    other = fit_of(Letters(128, 6), ["看護師"], "query")
    assert (other.tokens_a_word, other.broken) == (None, False)


def test_short_texts_in_a_template_are_not_called_in_pieces() -> None:
    fit = fit_of(Letters(128, 2, beside=6), ["медицинская сестра", "повар"], "query")
    assert (fit.tokens_a_word, fit.broken) == (2.0, False)


def test_an_encoder_counts_what_it_would_cut() -> None:
    encoder = Encoder("tiny", max_length=8, query_prefix="query: ")
    text = "a long query of many more words than eight"
    (whole,) = encoder.token_counts([text], "query")
    assert whole > 8 == len(encoder.tokenise([text], "query")[0].ids)
    assert encoder.token_counts([text], "document")[0] < whole
    assert encoder.longest is not None
