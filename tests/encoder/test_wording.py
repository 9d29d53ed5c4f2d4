"""Texts in a sentence: a template says what a naive replacement says; one that ends with the text is a prefix."""

from pathlib import Path

import pytest
import torch

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.wording import around
from hr_retrieval.errors import UserError

TEXTS = ["nurse", "водитель {text} C", "cook, and much more than fits into so few tokens of one text " * 3]
TEMPLATE = 'The job title is "{text}".'


def test_a_template_is_the_text_put_into_its_place(tiny_encoder: Encoder) -> None:
    encoder = Encoder("tiny", max_length=24, query_template=TEMPLATE)
    naive = [TEMPLATE.replace("{text}", text, 1) for text in TEXTS]
    tokens, cut = encoder.tokenise(TEXTS, "query")
    expected, expected_cut = tiny_encoder.tokenise(naive, "query")
    assert torch.equal(tokens.ids, expected.ids)
    assert cut == expected_cut > 0
    assert torch.equal(encoder.tokenise(TEXTS, "document")[0].ids, tiny_encoder.tokenise(TEXTS, "document")[0].ids)


def test_a_template_that_ends_with_the_text_is_a_prefix(tmp_path: Path) -> None:
    template, prefix = Encoder("tiny", document_template="title: {text}"), Encoder("tiny", document_prefix="title: ")
    assert template.fingerprint == prefix.fingerprint
    assert template.embedding_fingerprint() == prefix.embedding_fingerprint()
    template.save(tmp_path / "saved")
    assert Encoder(str(tmp_path / "saved")).prefixes == {"query": "", "document": "title: "}


def test_what_prompts_cannot_say_is_refused_at_export_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="query_template that ends with") as raised:
        Encoder("tiny", query_template=TEMPLATE).save(tmp_path / "saved")
    assert "export=false" in str(raised.value)
    assert not (tmp_path / "saved").exists()


def test_fingerprints_tell_templates_apart() -> None:
    options = (
        {},
        {"query_template": TEMPLATE},
        {"document_template": TEMPLATE},
        {"query_prefix": 'The job title is "'},
    )
    assert len({Encoder("tiny", **option).fingerprint for option in options}) == len(options)


def test_a_reworded_encoder_shares_weights_and_leaves_the_other_as_it_was() -> None:
    encoder = Encoder("tiny", query_prefix="q: ")
    other = encoder.reworded(query_template=TEMPLATE)
    whole = Encoder("tiny", query_template=TEMPLATE)
    assert other.fingerprint == whole.fingerprint
    assert encoder.prefixes["query"] == "q: "
    assert encoder.reworded().fingerprint == encoder.fingerprint
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.mul_(1.5)
    whole.load_state_dict(encoder.state_dict())
    assert torch.equal(other.encode(TEXTS, "query"), whole.encode(TEXTS, "query"))


def test_the_options_of_a_wording_give_it_back() -> None:
    encoder = Encoder("tiny", query_template=TEMPLATE, document_prefix="d: ")
    assert Encoder("tiny", **encoder.wording).fingerprint == encoder.fingerprint


@pytest.mark.parametrize(
    ("prefix", "template", "said"),
    [
        (None, "The job title is", "in it, once"),
        (None, "{text} or {text}", "in it, once"),
        ("q: ", "q: {text}", "both"),
        ("q: {text}", None, "it is a query_template"),
    ],
)
def test_a_wording_that_cannot_be_is_one_error(prefix: str | None, template: str | None, said: str) -> None:
    with pytest.raises(UserError, match=said):
        around(prefix, template, "query")
    with pytest.raises(UserError, match=said):
        Encoder("tiny", query_prefix=prefix, query_template=template)
