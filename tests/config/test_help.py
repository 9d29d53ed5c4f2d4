"""`--help` has a line for each key of ours, from the docstring of whoever reads it."""

import re

import pytest

from hr_retrieval.config.help import documented, help_text
from hr_retrieval.train import resolvers
from tests.test_main import VERBS


def lines_of(text: str) -> dict[str, str]:
    """Each key with what stands below it."""
    found = re.findall(r"^  ([\w.]+)=.*\n((?: {6}.*\n)*)", text.partition("key=value")[2], re.MULTILINE)
    return {key: " ".join(line.split()) for key, line in found}


@pytest.mark.parametrize("verb", VERBS)
def test_every_key_of_ours_has_a_line(verb: str) -> None:
    resolvers.register()
    lines = lines_of(help_text(verb, []))
    # A strategy that is not there has no keys: its line is in docs/ranking_mixing.md.
    bare = [key for key, line in lines.items() if not line and not re.search(r"\bmixing\.(views|lexical)$", key)]
    assert bare == []
    assert lines


def test_the_help_of_a_source_has_its_own_keys() -> None:
    lines = lines_of(help_text("prepare", ["data=csv"]))
    assert lines["data.reader.encoding"] == "any encoding that Python knows: utf-8, cp1251, utf-16."
    assert lines["data.columns.anchor"].startswith("the query side")
    assert "data.reader.tables" not in lines


def test_values_stand_as_a_command_line_has_them() -> None:
    text = help_text("train", ["model=tiny", "seed=1"])
    for said in ("seed=1\n", "resume=null\n", "zero_shot=true\n", "datamodule.workers=0\n", "name_or_path=tiny\n"):
        assert said in text
    assert "model=tiny: bert, " in text
    assert "max_epochs=3" in text


def test_what_a_base_documents_is_its_heirs() -> None:
    lines = documented("hr_retrieval.objective.mixing.AnchorMixing")
    assert {"start_step", "positive_weight"} < lines.keys()
