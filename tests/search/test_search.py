"""The commands from documents to an answer, for people and for pipes."""

import json
from pathlib import Path

from hr_retrieval.index import __main__ as index
from hr_retrieval.search import __main__ as search
from tests.conftest import Command, write_toy_dataset
from tests.resumes.files import LINES, docx_of, pdf_of

CSV = "Id;title;description;city;salary\n" + "".join(
    f"{number};{trade};works at place {number};{('Москва', 'Тверь')[number % 2]};{1000 * number}\n"
    for number, trade in enumerate(["welder", "nurse", "сварщик", "cook"] * 5)
)
MADE = (
    "encoder=tiny", "corpus=v.csv", "delimiter=;", "columns.id=Id", "columns.text=[title,description]",
    "ranking/mixing=none", "output=idx",
)  # fmt: skip


def test_from_a_csv_and_a_resume_to_an_answer(command: Command, tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text(CSV, encoding="utf-8")
    assert "20 documents in 20 passages" in command(index.main, *MADE)
    for name, content in (
        ("cv.pdf", pdf_of(LINES)),
        ("cv.docx", docx_of(LINES)),
        ("cv.txt", "\n".join(LINES).encode()),
    ):
        (tmp_path / name).write_bytes(content)
        printed = command(search.main, "index=idx", f"resume={name}", "output=json", "+filters.city=Тверь", "k=3")
        hits = json.loads(printed[printed.index("{") :])["hits"]
        assert len(hits) == 3
        assert {hit["metadata"]["city"] for hit in hits} == {"Тверь"}
        assert hits[0]["passage"] == hits[0]["text"]
    printed = command(search.main, "index=idx", "query=сварщик", "hybrid=score", "weight=1.0", "recall=true", "k=5")
    assert printed.count("сварщик  [") == 5
    assert "words: сварщик" in printed
    assert "100.0% are among these" in printed
    (tmp_path / "more.csv").write_text(CSV.splitlines()[0] + "\n99;judge;in court;Тула;5\n", encoding="utf-8")
    changed = command(index.main, "corpus=more.csv", *MADE[2:5], "change=true", "delete=[0]", "output=idx")
    assert "20 documents in 20 passages" in changed
    assert "judge" in command(search.main, "index=idx", "query=judge", "+filters.city=Тула")


def test_a_prepared_data_set_is_a_corpus(command: Command, tmp_path: Path) -> None:
    write_toy_dataset(tmp_path / "toy")
    printed = command(index.main, "encoder=tiny", "corpus=toy", "output=idx", "side=query")
    assert "120 documents in 120 passages" in printed
    assert "[d1" in command(search.main, "index=idx", "query=nurse 0")


def test_what_is_wrong_is_one_error(command: Command, tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text(CSV, encoding="utf-8")
    (tmp_path / "scan.pdf").write_bytes(pdf_of(()))
    command(index.main, *MADE)
    for arguments, said in (
        (("index=idx",), "a query or a resume; got neither"),
        (("index=idx", "query=a", "resume=scan.pdf"), "got both"),
        (("index=idx", "resume=scan.pdf"), "as a scanner makes them"),
        (("index=idx", "resume=nobody.pdf"), "a PDF, DOCX or text file"),
        (("index=idx", "query=a", "output=xml"), "text or json"),
        (("index=idx", "query=a", "passages=sum"), "max or mean"),
        (("index=idx", "query=a", "encoder=v.csv"), "v.csv"),
        (("index=idx", "query=a", "rerank=nowhere"), "the folder of a cross-encoder"),
        (("index=nowhere", "query=a"), "an index folder with index.json"),
    ):
        printed = command(search.main, *arguments)
        assert printed.startswith("exit 1: "), arguments
        assert said in printed
        assert "Traceback" not in printed
    for arguments, said in (
        ((*(word for word in MADE[:-1] if not word.startswith("encoder=")), "output=new"), "a value for encoder"),
        (("encoder=tiny", "corpus=v.csv", "output=new"), "the column 'document_id' or 'id'"),
        (("encoder=tiny", "corpus=nowhere.csv", "output=new"), "no such file"),
        ((*MADE[:-1], "overlap=500", "output=new"), "an overlap of passages"),
        ((*MADE[:-1], "lexical=stems", "output=new"), "lexical to be"),
        (MADE, "which holds a whole one"),
    ):
        printed = command(index.main, *arguments)
        assert printed.startswith("exit 1: "), arguments
        assert said in printed
