"""`hr-retrieval <verb>`: the verbs are listed, and each is reached."""

import subprocess
import sys
from pathlib import Path

import pytest

import hr_retrieval
from hr_retrieval.__main__ import main, verbs

VERBS = sorted(path.parent.name for path in Path(hr_retrieval.__file__).parent.glob("*/__main__.py"))


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_every_verb_is_listed_with_what_it_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["hr-retrieval", *arguments])
    main()
    printed = capsys.readouterr().out
    assert sorted(verbs()) == VERBS
    for name, does in verbs().items():
        assert f"  {name:<10}{does}\n" in printed
        assert 10 < len(does) < 100


def test_a_verb_gets_the_rest_of_the_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["hr-retrieval", "export", "output=x"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err == "Expected a value for run; got none. Add run=... to the command.\n"


def test_a_mistyped_verb_is_proposed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["hr-retrieval", "trian"])
    with pytest.raises(SystemExit, match="1"):
        main()
    assert capsys.readouterr().err == "Expected a verb; got trian. Did you mean hr-retrieval train?\n"


def test_the_list_imports_nothing_slow() -> None:
    program = (
        "import sys; sys.argv[1:] = []; from hr_retrieval.__main__ import main; main(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\nFalse\n")
