"""The text of a DOCX file."""

import io
import zipfile
from collections.abc import Iterator

import docx
from docx.blkcntnr import BlockItemContainer
from docx.document import Document
from docx.opc.exceptions import OpcError
from docx.table import Table
from lxml.etree import LxmlError

from hr_retrieval.errors import DAMAGED, UserError, said


def docx_text(content: bytes, most_unpacked: int) -> str:
    """Its paragraphs and the cells of its tables, in their order.

    Raises:
        UserError: it is damaged, no DOCX, or unpacks to more bytes than that.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > most_unpacked:
            raise UserError(
                f"a DOCX of at most {most_unpacked >> 20} MB unpacked", f"{unpacked >> 20} MB", "Take out its pictures."
            )
        return "\n".join(_lines(docx.Document(io.BytesIO(content))))
    except (*DAMAGED, MemoryError, OpcError, LxmlError) as error:
        raise UserError(
            "a whole DOCX", f"one that cannot be read ({said(error)})", "Save it anew, or paste its text."
        ) from None


def _lines(container: Document | BlockItemContainer) -> Iterator[str]:
    for block in container.iter_inner_content():
        if isinstance(block, Table):
            for row in block.rows:
                seen = set()
                for cell in row.cells:
                    # A cell that spans columns comes once for each of them.
                    if cell._tc not in seen:
                        seen.add(cell._tc)
                        yield from _lines(cell)
        elif block.text.strip():
            yield block.text
