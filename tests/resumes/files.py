"""Files as people send them, made by well-known libraries."""

import io
from collections.abc import Sequence
from pathlib import Path

LINES = (
    "Иван Петров, сварщик",
    "Ручная дуговая сварка труб, 5 лет",
    "Welder, licence CE, works at place 12 with tools",
)
# A font with Cyrillic letters; matplotlib ships one, and Debian's package fonts-dejavu.
_FONTS = ("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",)


def pdf_of(lines: Sequence[str], pages: int = 1) -> bytes:
    """A PDF with these lines on each page; without any it has a picture alone, as a scan has."""
    import pytest
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont
    from reportlab.pdfgen.canvas import Canvas

    stream = io.BytesIO()
    canvas = Canvas(stream)
    font = next((font for font in _FONTS if Path(font).is_file()), None)
    if font is None:
        pytest.skip("no font with Cyrillic letters is installed")
    pdfmetrics.registerFont(TTFont("Cyrillic", font))
    for _ in range(pages):
        canvas.setFont("Cyrillic", 12)
        for place, line in enumerate(lines):
            canvas.drawString(50, 780 - 20 * place, line)
        if not lines:
            canvas.rect(50, 50, 300, 300, fill=1)
        canvas.showPage()
    canvas.save()
    return stream.getvalue()


def docx_of(lines: Sequence[str]) -> bytes:
    """A DOCX with these paragraphs."""
    import docx

    stream = io.BytesIO()
    file = docx.Document()
    for line in lines:
        file.add_paragraph(line)
    file.save(stream)
    return stream.getvalue()
