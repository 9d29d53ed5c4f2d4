"""What a config may tell Hydra itself."""

from typing import Any

import hydra
import pytest

from hr_retrieval.config.startup import check_hydra, check_startup
from hr_retrieval.errors import UserError
from hr_retrieval.train import resolvers


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


@pytest.mark.parametrize(
    ("arguments", "options"),
    [(["experiment=model_selection"], 2), (["-m", "experiment=model_selection", "model=tiny"], 1)],
)
def test_each_option_that_an_experiment_sweeps_over_is_composed_once(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], options: int
) -> None:
    compose, composed = hydra.compose, []

    def watched(name: str, lines: list[str], **further: Any) -> Any:
        assert len(composed) < 9, "it goes on for ever"
        composed.append(compose(name, lines, **further))
        return composed[-1]

    monkeypatch.setattr(hydra, "compose", watched)
    resolvers.register()
    check_startup("train", arguments)
    assert len({config.model.encoder.name_or_path for config in composed}) == options


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


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("model=null", r"a name in model=, one of .*mpnet.*; got null"),
        ("data=5", r"a name in data=, one of .*esco.*; got 5"),
        ("model=tiny,null", r"a name in model=, one of .*; got null"),
        ("logger=true", r"a name in logger=, .*; got true\. Set logger=none for none"),
        ("ranking/mixing=null", r"a name in ranking/mixing=, .*Set ranking/mixing=none for none"),
    ],
)
def test_an_option_is_asked_for_by_its_name(argument: str, told: str) -> None:
    resolvers.register()
    with pytest.raises(UserError, match=told):
        check_startup("train", [argument])
    check_startup("train", ["~logger", "model=tiny", "data=[esco,onet_tasks]"])
