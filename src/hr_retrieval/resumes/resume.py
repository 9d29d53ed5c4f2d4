"""The text of a file that somebody sent: read in a process of its own, which may use little time and memory."""

import json
import subprocess
import sys
from dataclasses import dataclass

from hr_retrieval.errors import UserError
from hr_retrieval.extras import check_extra


@dataclass(frozen=True)
class Limits:
    """What a file may cost.

    Attributes:
        size: bytes.
        pages: of a PDF.
        letters: of its text.
        seconds: to read it.
        memory: bytes that reading takes, and that a DOCX may unpack to.
    """

    size: int = 10 << 20
    pages: int = 30
    letters: int = 50_000
    seconds: int = 10
    memory: int = 1 << 30


def resume_text(content: bytes, limits: Limits) -> str:
    """The text of a PDF, a DOCX or a plain text file. Nothing is written to disk.

    Raises:
        UserError: it is none of them, is damaged, locked, scanned, or beyond a limit.
    """
    if len(content) > limits.size:
        raise UserError(
            f"a file of at most {limits.size / 2**20:g} MB", f"{len(content) / 2**20:.1f} MB", "Send a smaller one."
        )
    check_extra("search", "pypdf", "docx")
    told = json.dumps([limits.pages, limits.letters, limits.seconds, limits.memory])
    # The processor's time is limited in the process; on a busy machine it comes by slowly.
    longest = 8 * limits.seconds
    command = [sys.executable, "-m", "hr_retrieval.resumes.worker", told]
    try:
        ran = subprocess.run(command, input=content, capture_output=True, timeout=longest)
        answer = json.loads(ran.stdout) if ran.returncode == 0 else None
    except (subprocess.TimeoutExpired, ValueError):
        answer = None
    if answer is None:
        raise UserError(
            f"a file that can be read within {limits.seconds} seconds and {limits.memory >> 20} MB",
            "one that takes more, or is damaged",
            "Save it anew, as a plain PDF, DOCX or text, or paste its text.",
        )
    if "error" in answer:
        raise UserError(*answer["error"])
    text: str = answer["text"]
    return text
