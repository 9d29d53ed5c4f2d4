"""What a run directory may ask for when it is opened."""

from pathlib import Path

import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.runs.directory import TRUST, Run, open_encoder

CONFIG = """
seed: 1
model:
  encoder:
    _target_: hr_retrieval.encoder.encoder.Encoder
    name_or_path: tiny
    trust_remote_code: {trust}
"""


@pytest.mark.parametrize("said", [None, "0", "yes"])
def test_a_run_s_word_alone_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str | None) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG.format(trust="true"))
    monkeypatch.delenv(TRUST, raising=False)
    if said is not None:
        monkeypatch.setenv(TRUST, said)
    for opens in (Run.open, lambda folder: open_encoder(str(folder))):
        with pytest.raises(UserError, match=f"trust_remote_code=True in .*{TRUST}=1"):
            opens(tmp_path)


def test_with_the_user_s_word_it_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG.format(trust="true"))
    monkeypatch.setenv(TRUST, "1")
    assert Run.open(tmp_path).config.model.encoder.trust_remote_code
    monkeypatch.delenv(TRUST)
    (tmp_path / "config.yaml").write_text(CONFIG.format(trust="false"))
    assert Run.open(tmp_path).config.seed == 1
