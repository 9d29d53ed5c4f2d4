"""The page says what the data hold, warns of what spoils a training, and shows no script and no person."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.inspect import __main__ as inspect
from hr_retrieval.inspect.findings import Lengths, findings
from hr_retrieval.inspect.page import page, plain
from hr_retrieval.inspect.remarks import NEEDED, remarks
from hr_retrieval.inspect.words import Words
from tests.conftest import Command

EN = Words()
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def test_what_is_found_in_the_toy_data(toy_dataset: Path, tiny_encoder: Encoder) -> None:
    found = findings(PreparedDataset.open(toy_dataset), tiny_encoder)
    assert found.splits == {"train": (96, 96, 48), "validation": (12, 12, 6), "test": (12, 12, 6)}
    assert found.documents == (120, 0, 0)
    assert found.groups == (60, 2, 0)
    assert found.leaks == []
    assert set(found.languages["train"]) <= {"Latin", "Cyrillic", "mixed"}
    assert len(found.examples) == 20
    assert found.lengths["queries"].quantiles[0] >= 3
    # This encoder reads 24 tokens.
    assert found.lengths["documents"].quantiles == (24, 24, 24, 24)
    assert found.lengths["documents"].cut == 1
    assert findings(PreparedDataset.open(toy_dataset), None, seed=2).examples != found.examples


def test_each_remark_follows_from_its_number(toy_dataset: Path) -> None:
    found = findings(PreparedDataset.open(toy_dataset), None)
    usual = remarks(found, EN)
    assert NEEDED == 1265
    assert usual == [
        f"The {name} split has 12 queries: about 1,265 are needed to tell a difference of .01 in MRR apart from chance."
        for name in ("validation", "test")
    ]
    for change, said in (
        ({"commonest": ("cook", 0.6)}, "One query, “cook”, has 60% of all right answers."),
        ({"opening": ("We are", 0.5)}, "50% of the documents begin alike"),
        ({"documents": (120, 80, 0)}, "80 of 120 documents have a near-duplicate."),
        ({"rejected": {"p: missing": 30}}, "30 rows were left out; the commonest reason: p: missing."),
        ({"groups": (1, 100, 0)}, "The largest group holds 100 of 120 queries."),
        ({"splits": found.splits | {"test": (0, 0, 0)}}, "The test split is empty."),
        (
            {"languages": {"train": {"Latin": 1.0}, "test": {"Cyrillic": 1.0}}},
            "of other languages than training: Cyrillic",
        ),
        ({"lengths": {"queries": Lengths((3, 4, 5, 6), 0.5)}}, "50% of the queries are longer"),
    ):
        new = [line for line in remarks(replace(found, **change), EN) if line not in usual]
        assert any(said in line for line in new), said
        assert not [line for line in remarks(replace(found, **change), Words("ru")) if line in new]


def test_the_page_shows_texts_as_texts_and_needs_no_script(toy_dataset: Path) -> None:
    found = findings(PreparedDataset.open(toy_dataset), None)
    hostile = replace(found, name="<script>alert(1)</script>", examples=[("train", "<img src=x>", "a | b")])
    text = page(hostile, EN)
    assert "<script" not in text
    assert "<img" not in text
    assert "default-src 'none'" in text
    assert "a \\| b" in plain(hostile, EN)
    assert 'lang="ru"' in page(found, Words("ru"))
    assert "нужно около 1\u202f265." in page(found, Words("ru"))
    assert "<td>8,3%</td>" in page(found, Words("ru"))
    assert "Перед обучением" in plain(found, Words("ru"))
    heading = "Sentences left out of many documents"
    assert heading not in plain(found, EN)
    swept = replace(found, boilerplate=[("Мы <b>предлагаем</b>", 1200)])
    assert "<td class=text dir=auto>Мы &lt;b&gt;предлагаем&lt;/b&gt;</td><td>1,200</td>" in page(swept, EN)
    assert heading in plain(swept, EN)


@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine: apt-get install chromium")
@pytest.mark.parametrize(("language", "heading"), [("en", "Splits"), ("ru", "Разбиение")])
def test_a_browser_shows_the_page_in_both_languages(
    toy_dataset: Path, tmp_path: Path, language: str, heading: str
) -> None:
    found = findings(PreparedDataset.open(toy_dataset), None)
    hostile = replace(found, examples=[("train", "<script>document.title='run'</script>", "مرحبا 😀 " + "a" * 300)])
    (tmp_path / "page.html").write_text(page(hostile, Words(language)))
    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'browser'}",
        "--window-size=400,900", "--dump-dom", (tmp_path / "page.html").as_uri(),
    ]  # fmt: skip
    shown = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert f'<html lang="{language}"' in shown.stdout
    assert f"<h2>{heading}</h2>" in shown.stdout
    assert "<title>run</title>" not in shown.stdout
    assert "<script" not in shown.stdout
    # What the page would say to nobody but its console: what its own policy forbids, say.
    assert not re.search("CONSOLE", shown.stderr)


def test_a_source_is_prepared_and_its_masks_are_shown_with_the_person_hidden(command: Command, tmp_path: Path) -> None:
    rows = [{"title": f"cook {number}", "text": f"kitchen {number}"} for number in range(60)]
    rows.append({"title": "baker", "text": "Ask for John Smith, baker@bread.org or +44 20 7946 0958, at the shop"})
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = command(
        inspect.main, "data=jsonl", "data.name=made", "data.reader.path=rows.jsonl", "data.columns.anchor=title",
        "data.columns.positive=text", "encoder=null", "output=page.html",
    )  # fmt: skip
    assert "Data set made" in said
    both = said + (tmp_path / "page.html").read_text()
    assert "[e-mail]" in both
    assert "•••••@•••••.•••" in both
    for secret in ("baker@", "7946", "Smith"):
        assert secret not in both
    again = command(inspect.main, "data.folder=data/prepared/made", "encoder=null", "language=ru")
    assert "Набор данных made" in again
    assert (tmp_path / "outputs" / "inspect" / "made.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [([], "Expected data=... or data.folder=...; got neither"), (["language=de"], "language to be en or ru; got 'de'")],
)
def test_bad_input_is_one_message(command: Command, arguments: list[str], said: str) -> None:
    assert said in command(inspect.main, *arguments)
