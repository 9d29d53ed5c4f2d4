"""What is set up for further processes, without starting any; `model/test_distributed.py` starts them."""

import os
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig

from hr_retrieval.train.process_group import further_processes
from hr_retrieval.train.processes import QUIET


@pytest.mark.parametrize("fails", [False, True])
def test_further_processes_would_resume_the_run_and_nothing_is_left_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    arguments, config = ["train", "model=tiny"], HydraConfig.instance().cfg
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setenv("MASTER_PORT", "7")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    folder = tmp_path / 'a "run"'
    trainer = pl.Trainer(accelerator="cpu", devices=1, logger=False)

    def within() -> None:
        with further_processes(folder, trainer):
            assert sys.argv == ["train", f'resume="{tmp_path}/a \\"run\\""', *QUIET]
            # As Lightning does.
            os.environ |= {"LOCAL_RANK": "1", "MASTER_PORT": "8"}
            if fails:
                raise ValueError("within")

    if fails:
        with pytest.raises(ValueError, match="within"):
            within()
    else:
        within()
    assert (sys.argv, HydraConfig.instance().cfg) == (arguments, config)
    assert (os.environ.get("LOCAL_RANK"), os.environ["MASTER_PORT"]) == (None, "7")
