"""`python -m hr_retrieval.resumes.worker`: a file on standard input, its text as JSON on standard output."""

import json
import resource
import sys

from hr_retrieval.errors import UserError
from hr_retrieval.resumes.docx import docx_text
from hr_retrieval.resumes.pdf import pdf_text


def main() -> None:
    """Read one file within the limits given as the argument."""
    pages, letters, seconds, memory = json.loads(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # Nor does it write anything.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        answer: dict[str, object] = {"text": text_of(sys.stdin.buffer.read(), pages, letters, memory)}
    except UserError as error:
        answer = {"error": [error.expected, error.got, error.remedy]}
    sys.stdout.write(json.dumps(answer))


def text_of(content: bytes, pages: int, letters: int, memory: int) -> str:
    """The text of a file; `Limits` says what each limit is."""
    if content.lstrip()[:5] == b"%PDF-":
        text = pdf_text(content, pages)
    elif content[:4] == b"PK\x03\x04":
        text = docx_text(content, memory // 16)
    else:
        text = _plain_text(content)
    # What no writing uses: it would end up in pages and terminals.
    text = "".join(letter for letter in text if letter in "\n\t" or letter.isprintable()).strip()
    if not any(letter.isalnum() for letter in text):
        raise UserError("a file with words", "none", "Send another one, or paste the text.")
    if len(text) > letters:
        raise UserError(f"a text of at most {letters:,} letters", f"{len(text):,}", "Send the part that matters.")
    return text


def _plain_text(content: bytes) -> str:
    for encoding in ("utf-8-sig", "cp1251"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text and sum(letter.isprintable() or letter.isspace() for letter in text) >= 0.95 * len(text):
            return text
    raise UserError("a PDF, DOCX or plain text file", "neither", "Save it as one of them, or paste its text.")


if __name__ == "__main__":
    main()
