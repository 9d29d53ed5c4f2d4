"""Vacancies of hh.ru, as its API answers and as exports have them."""

import json
from pathlib import Path
from typing import Any

import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.hh import HhReader, plain_text
from tests.prepare.readers.sources import read, rejected_of, rows_of, write_text

ALL = ["vacancy_id", "title", "description", "skills"]
VACANCY: dict[str, Any] = {
    "id": "93",
    "name": "Повар &amp; пекарь",
    "description": "<p>Мы <strong>ищем</strong> повара.</p><ul><li>Готовить</li><li>Печь&nbsp;хлеб</li></ul>",
    "key_skills": [{"name": "Выпечка"}, {"name": " Санитарные нормы"}],
    "employer": {"name": "Кафе"},
}
FOUND: dict[str, Any] = {
    "id": "94",
    "name": "Сварщик",
    "snippet": {"requirement": "Опыт <highlighttext>сварки</highlighttext> от года.", "responsibility": "Варить."},
}
ROWS = [
    {
        "vacancy_id": "93",
        "title": "Повар & пекарь",
        "description": "Мы ищем повара. Готовить Печь хлеб",
        "skills": ["Выпечка", "Санитарные нормы"],
    },
    {"vacancy_id": "94", "title": "Сварщик", "description": "Варить. Опыт сварки от года.", "skills": []},
]


@pytest.mark.parametrize(
    "content",
    [
        "\n".join(json.dumps(vacancy, ensure_ascii=False) for vacancy in (VACANCY, FOUND)),
        json.dumps([VACANCY, FOUND], indent=1),
        json.dumps({"items": [VACANCY, FOUND], "pages": 1}),
        json.dumps({"items": [VACANCY, FOUND], "pages": 1}, indent=2, ensure_ascii=False),
    ],
)
def test_json(tmp_path: Path, content: str) -> None:
    assert rows_of(read(HhReader(write_text(tmp_path, content, "found.json")), ALL)) == ROWS


def test_one_vacancy_written_for_people_to_read(tmp_path: Path) -> None:
    path = write_text(tmp_path, json.dumps(VACANCY, indent=2), "93.json")
    assert rows_of(read(HhReader(path), ALL)) == ROWS[:1]


def test_csv(tmp_path: Path) -> None:
    text = "id;name;description;key_skills\n93;Повар;<p>Готовить;</p>;\"['Выпечка', 'Нормы']\"\n94;Сварщик;;\"Сварка, ТБ\"\n"
    rows = rows_of(read(HhReader(write_text(tmp_path, text.replace("Готовить;", "Готовить"))), ALL))
    assert [row["skills"] for row in rows] == [["Выпечка", "Нормы"], ["Сварка", "ТБ"]]
    assert [row["description"] for row in rows] == ["Готовить", None]
    flat = "name,snippet_requirement,snippet_responsibility\nПовар,Опыт,Готовить\n"
    (row,) = rows_of(read(HhReader(write_text(tmp_path, flat), delimiter=","), ["title", "description"]))
    assert row == {"title": "Повар", "description": "Готовить Опыт"}
    nested = 'name;snippet\nПовар;"{""requirement"": ""Опыт"", ""responsibility"": null}"\nПекарь;Печь\n'
    rows = rows_of(read(HhReader(write_text(tmp_path, nested)), ["description"]))
    assert rows == [{"description": "Опыт"}, {"description": "Печь"}]


def test_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'name'"):
        read(HhReader(write_text(tmp_path, "title;text\nПовар;Готовить\n")), ALL)
    with pytest.raises(UserError, match="no object with a name"):
        read(HhReader(write_text(tmp_path, '{"title": "Повар"}\n', "a.jsonl")), ALL)
    with pytest.raises(UserError, match="JSON in"):
        read(HhReader(write_text(tmp_path, '{\n "items": [', "b.json")), ALL)
    with pytest.raises(UserError, match="'salary'"):
        read(HhReader(write_text(tmp_path, "{}", "c.json")), ["salary"])
    with pytest.raises(UserError, match="an encoding"):
        HhReader("a.csv", encoding="none")
    lines = json.dumps(VACANCY) + "\nbroken\n"
    assert rejected_of(read(HhReader(write_text(tmp_path, lines, "d.jsonl")), ALL)) == [
        (1, "not a JSON object", '"broken"')
    ]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("<p>a</p><p>b</p>", "a b"),
        ("a<br>b<br/>c", "a b c"),
        ("1 &lt; 2 &amp;&nbsp;3", "1 < 2 & 3"),
        ("<b>пи</b>сать", "писать"),
        ("a < b", "a < b"),
        ("<p></p>", None),
        (None, None),
        (3.0, None),
    ],
)
def test_html(cell: Any, text: str | None) -> None:
    assert plain_text(cell) == text
