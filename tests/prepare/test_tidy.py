"""Texts mended by libraries: what each step does, and what it leaves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.tidy import Tidying


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>a</p><ul><li>b &amp; c</li><li>d</li></ul>", "a b & c d"),
        ("пи<b>сать</b> на <highlighttext>Java</highlighttext>Script<br>да", "писать на JavaScript да"),
        ("<p>x</p><script>alert(1)</script><style>p{}</style>y", "x y"),
        ("C++ < C#, a<b and c>d", "C++ < C#, a<b and c>d"),
        ("R&D, Q&A", "R&D, Q&A"),
        ("<p>" + "<div>" * 3000 + "deep", "deep"),
        ("<p>\0a\ud800b\x1f</p>", "ab"),
        ("<br>", ""),
    ],
)
def test_html_becomes_text_and_other_texts_stay(markup: str, text: str) -> None:
    assert " ".join(Tidying(html=True)(markup).split()) == text
    assert Tidying()(markup) == markup


def test_what_was_read_in_a_wrong_encoding_is_read_in_the_right_one() -> None:
    assert Tidying(mojibake=True)("CafÃ© manager") == "Café manager"
    assert Tidying(mojibake=True)("Повар — café") == "Повар — café"


def test_the_unicode_form_is_chosen() -> None:
    assert Tidying(unicode="NFC")("и\u0306") == "й"
    assert Tidying(unicode="NFKC")("ﬁle ①") == "file 1"
    with pytest.raises(UserError, match=r"data\.unicode to be NFC or NFKC, or null; got 'NFX'"):
        Tidying(unicode="NFX")


@given(st.text(st.sampled_from("<>/&;pbr #x0a'\"!-\n\0"), max_size=40))
def test_no_markup_ends_in_an_error(markup: str) -> None:
    Tidying(html=True, mojibake=True, unicode="NFC")(f"<p>{markup}")
