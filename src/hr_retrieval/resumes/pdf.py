"""The text of a PDF."""

import io
import logging

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from hr_retrieval.errors import DAMAGED, UserError, said

# It tells of every oddity of a file.
logging.getLogger("pypdf").setLevel(logging.CRITICAL)


def pdf_text(content: bytes, most_pages: int) -> str:
    """The text of all pages, one behind the other.

    Raises:
        UserError: it is damaged, locked, of too many pages, or has pictures of text alone.
    """
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise UserError("a PDF that opens without a password", "a locked one", "Save it without the password.")
        count = len(reader.pages)
        if count > most_pages:
            raise UserError(f"a PDF of at most {most_pages} pages", f"{count}", "Send the pages that matter.")
        text = "\n".join(page.extract_text() for page in reader.pages)
    except (*DAMAGED, MemoryError, PyPdfError) as error:
        raise UserError(
            "a whole PDF", f"one that cannot be read ({said(error)})", "Save it anew, or paste its text."
        ) from None
    if not text.strip():
        raise UserError(
            "a PDF with text",
            f"{count} page{'s' if count != 1 else ''} without any, as a scanner makes them",
            "Have its text recognised (OCR) first, or paste the text.",
        )
    return text
