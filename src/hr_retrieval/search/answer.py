"""What is asked, from a line or a file, and what is answered, for people or for pipes."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from hr_retrieval.errors import UserError
from hr_retrieval.files import readable_write_errors
from hr_retrieval.resumes.resume import Limits, resume_text
from hr_retrieval.store.found import Hit

# Letters of a passage that are shown.
_SHOWN = 300


def asked_text(query: str | None, resume: str | None) -> str:
    """The query itself, or the text of a file.

    Raises:
        UserError: neither or both are given, or the file cannot be read.
    """
    if (query is None) == (resume is None):
        raise UserError(
            "a query or a resume",
            "both" if query is not None else "neither",
            "Add query='...' or resume=<file> to the command.",
        )
    if query is not None:
        return query
    path = Path(str(resume))
    if not path.is_file():
        raise UserError("a PDF, DOCX or text file", f"{path}, which is none", "Check the path of resume=.")
    with readable_write_errors(path):
        content = path.read_bytes()
    return resume_text(content, Limits())


def report(hits: Sequence[Hit], output: str, recall: float | None) -> None:
    """Print the hits: numbered, or one JSON object for pipes.

    Raises:
        UserError: `output` is neither text nor json.
    """
    if output not in ("text", "json"):
        raise UserError("output to be text or json", repr(output), "Choose one of them.")
    if output == "json":
        content = {"hits": [{**asdict(hit), "passage": hit.passage} for hit in hits], "recall": recall}
        print(json.dumps(content, ensure_ascii=False))
        return
    for number, hit in enumerate(hits, 1):
        print("\n".join(_lines(number, hit)))
    if not hits:
        print("Nothing is left of the index by these filters.")
    if recall is not None:
        print(f"Of the exactly best {len(hits)}, {recall:.1%} are among these.")


def _lines(number: int, hit: Hit) -> list[str]:
    facts = [f"{name}: {value}" for name, value in hit.metadata.items() if value is not None]
    begin, end = hit.marks[0] if hit.marks else (hit.begin, hit.end)
    passage = " ".join(hit.text[begin:end].split())
    shown = passage[:_SHOWN] + ("…" if len(passage) > _SHOWN else "")
    title = " ".join(hit.text.strip().splitlines()[0].split())[:100]
    lines = [f"{number}. {title}  [{hit.document}]  {hit.score:.4f}", *([f"   {', '.join(facts)}"] if facts else [])]
    return [
        *lines,
        *([f"   {shown}"] if shown != title else []),
        *([f"   words: {', '.join(hit.words)}"] if hit.words else []),
    ]
