"""Texts mended by libraries before anything else is done to them: HTML, broken encodings, Unicode forms."""

import re
import unicodedata
from dataclasses import dataclass
from html import unescape

from hr_retrieval.errors import UserError
from hr_retrieval.extras import check_extra

_FORMS = ("NFC", "NFKC")
# What a text must hold to be HTML: `C < D` and `a<b` are none.
_MARKUP = re.compile(
    r"</?(?:p|br|div|span|ul|ol|li|b|i|u|em|strong|h[1-6]|a|table|t[rdh]|tbody|img|hr|font|html|body|highlighttext)(?:\s+[\w:-]+\s*=[^<>]*|\s*/?)>|&(?:\w{2,8}|#\d{1,6});",
    re.IGNORECASE,
)
# libxml2 drops what stands in more elements than 256, without a word.
_DEEPEST = 200
_TAG = re.compile(r"<[^<>]*>")
# Elements at whose ends words end; and those that hold no text.
_BLOCKS = frozenset((
    "p", "br", "div", "ul", "ol", "li", "table", "tr", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "section", "article",
    "header", "footer", "blockquote", "pre",
))  # fmt: skip
_NO_TEXT = frozenset(("script", "style", "head", "template"))


@dataclass(frozen=True)
class Tidying:
    """Which steps are taken, in this order.

    Args:
        html: whether HTML becomes plain text, by lxml; a text without a known tag or entity stays.
        mojibake: whether text that was read in a wrong encoding, such as `РџРѕРІР°СЂ`, is read in the
            right one, by ftfy.
        unicode: the Unicode form, NFC or NFKC; `None` leaves it.

    Raises:
        UserError: another form, or a package that a step needs is missing.
    """

    html: bool = False
    mojibake: bool = False
    unicode: str | None = None

    def __post_init__(self) -> None:
        if self.unicode is not None and self.unicode not in _FORMS:
            raise UserError(
                f"data.unicode to be {' or '.join(_FORMS)}, or null",
                repr(self.unicode),
                "NFC joins letters and their marks.",
            )
        wanted = {"lxml": self.html, "ftfy": self.mojibake}
        check_extra("cleaning", *(package for package, own in wanted.items() if own))

    def __call__(self, text: str) -> str:
        """The text after the steps."""
        if self.mojibake and not text.isascii():
            import ftfy

            text = ftfy.fix_encoding(text)
        if self.html and _MARKUP.search(text):
            text = plain_text(text)
        return text if self.unicode is None else unicodedata.normalize(self.unicode, text)  # type: ignore[arg-type]


UNTOUCHED = Tidying()


def plain_text(markup: str) -> str:
    """The text of HTML: blocks begin on new lines, entities are read, scripts and styles go."""
    from lxml import etree, html

    # Such signs are in no HTML, and lxml takes none.
    sound = re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", markup)
    if sound.count("<") - 2 * sound.count("</") > _DEEPEST:
        return unescape(_TAG.sub(" ", sound))
    parser = html.HTMLParser(remove_comments=True, remove_pis=True)
    try:
        tree = html.document_fromstring(f"<div>{sound}</div>", parser=parser)
    except etree.ParserError:
        return ""
    parts: list[str] = []
    for event, element in etree.iterwalk(tree, events=("start", "end")):
        name = element.tag if isinstance(element.tag, str) else ""
        if name in _BLOCKS:
            parts.append("\n")
        # The text of an element stands behind its start, and its tail behind its end.
        said = (element.text if name not in _NO_TEXT else None) if event == "start" else element.tail
        parts.append(said or "")
    return "".join(parts).strip()
