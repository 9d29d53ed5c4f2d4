"""What a config may tell Hydra itself."""

from typing import Any

import pytest

from hr_retrieval.config.startup import check_hydra
from hr_retrieval.errors import UserError


@pytest.mark.parametrize(
    "settings",
    [
        {"callbacks": {"x": {"_target_": "hr_retrieval.train.stopping.StayStopped"}}},
        {"launcher": {"_target_": "os.system"}},
        {"launcher": {"_target_": "hydra_plugins.x.Launcher", "executor": {"_target_": "hydra_plugins.x.Launcher"}}},
        {"sweeper": {"_target_": "${oc.env:X}"}},
        {"job_logging": {"handlers": {"x": {"()": "os.system", "command": "true"}}}},
        {"job_logging": {"handlers": {"x": {"class": "logging.handlers.SocketHandler"}}}},
        {"job_logging": {"filters": [{"()": "os.system"}]}},
        {"hydra_logging": {"formatters": {"x": {"class": "os.system"}}}},
        {"hydra_logging": {"formatters": {"x": {"class": ["logging.Formatter"]}}}},
        {"hydra_logging": {"root": {"level": "ext://os.system"}}},
        {"job": {"env_set": {"LD_PRELOAD": "x.so"}}},
        {"job": {"env_set": {"HYDRA_INSTANTIATE_ALLOWLIST_OVERRIDE": "os:*"}}},
    ],
)
def test_what_hydra_would_run_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"hydra\."):
        check_hydra(settings)


def test_what_hydra_may_be_told_passes() -> None:
    check_hydra(
        {
            "launcher": {"_target_": "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"},
            "sweeper": {"_target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper", "params": None},
            "job": {"env_set": {"OMP_NUM_THREADS": 1}},
            "job_logging": {
                "handlers": {"console": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}},
                "formatters": {"colour": {"()": "colorlog.ColoredFormatter"}},
            },
        }
    )
