"""A folder of résumés as rows: each file its text, what cannot be read rejected with the reason."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hr_retrieval.errors import UserError, said
from hr_retrieval.prepare.readers.reader import FilesReader, RawBatch, Rejected, check_columns
from hr_retrieval.resumes.resume import Limits, resume_text

_COLUMNS = ("text", "title", "file", "folder")
# That are read before their rows are handed on.
_FILES = 16
_TITLE = re.compile(
    r"^(?:желаемая должность(?: и зарплата)?|должность|objective|position|desired position|job title)\s*[:\n]\s*(\S.{2,100})$",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True)
class ResumeReader(FilesReader):
    """PDF, DOCX and text files as rows with the columns `text`, `title`, `file` and `folder`.

    The title is what stands behind "Желаемая должность", "Objective" and the like, else none; the
    folder is the name of the one that a file lies in, such as that of a vacancy. Each file is read in
    a process of its own, within limits of time and memory. Its name, which tends to be a person's,
    is in no table; `dataset.json` has it, beside its checksum.
    """

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """A row a file: row 0 is the first in the order of their names."""
        files = self.inputs()
        check_columns(Path(str(self.path)), _COLUMNS, wanted)
        source = str(self.path)
        for begin in range(0, len(files), _FILES):
            rows, values, rejected = [], [], []
            for number, file in enumerate(files[begin : begin + _FILES], begin):
                try:
                    text = resume_text(file.read_bytes(), Limits())
                except OSError as error:
                    # Without its name.
                    came = error.strerror or said(error)
                    rejected.append(Rejected(source, number, "expected a file that can be read", came))
                    continue
                except UserError as error:
                    rejected.append(Rejected(source, number, f"expected {error.expected}", error.got, error.remedy))
                    continue
                title = _TITLE.search(text)
                row = {
                    "text": text,
                    "title": title[1].strip() if title else None,
                    "file": f"{number}",
                    "folder": file.parent.name,
                }
                rows.append(number)
                values.append({name: row[name] for name in wanted})
            yield RawBatch(source, rows, values, rejected)
