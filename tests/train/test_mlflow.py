"""MLflow's logger over a stand-in of its client: names, the run's id, and what is said without the package."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from hr_retrieval.train import __main__ as train
from hr_retrieval.train.mlflow import MlflowLog
from tests.conftest import TOY, Command


class Client:
    """What Lightning asks of MLflow's client."""

    made: list[str]
    logged: list[tuple[str, str, float, int]]

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id=name, lifecycle_stage="active")

    def get_run(self, run_id: str) -> Any:
        return SimpleNamespace(info=SimpleNamespace(experiment_id="jobs"))

    def create_run(self, experiment_id: str, tags: Any) -> Any:
        Client.made.append(experiment_id)
        return SimpleNamespace(info=SimpleNamespace(run_id=f"run-{len(Client.made)}"))

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = ()) -> None:
        Client.logged += [(run_id, one.key, one.value, one.step) for one in metrics]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    parts = {
        name: ModuleType(name) for name in ("mlflow", "mlflow.tracking", "mlflow.entities", "mlflow.utils.mlflow_tags")
    }
    parts["mlflow"].set_tracking_uri = lambda uri: None  # type: ignore[attr-defined]  # a stand-in
    parts["mlflow.tracking"].MlflowClient = Client  # type: ignore[attr-defined]
    parts["mlflow.entities"].Metric = SimpleNamespace  # type: ignore[attr-defined]
    parts["mlflow.utils.mlflow_tags"].MLFLOW_RUN_NAME = "name"  # type: ignore[attr-defined]
    for name, module in parts.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("pytorch_lightning.loggers.mlflow._MLFLOW_AVAILABLE", True)
    monkeypatch.setattr("pytorch_lightning.loggers.mlflow._get_resolve_tags", lambda: lambda tags: tags)
    Client.made, Client.logged = [], []
    return Client


def test_figures_go_to_one_run_of_mlflow_also_after_a_resume(client: type[Client], tmp_path: Path) -> None:
    def logger() -> MlflowLog:
        return MlflowLog(tmp_path / "run.txt", experiment_name="jobs", tracking_uri="sqlite:///x.db", run_name=None)

    first = logger()
    first.log_metrics({"validation/pass@1": 0.5, "validation/mrr": 0.7}, 3)
    logger().log_metrics({"train/loss": 1.0}, 4)
    assert client.made == ["jobs"]
    assert client.logged == [
        ("run-1", "validation/pass_at_1", 0.5, 3), ("run-1", "validation/mrr", 0.7, 3), ("run-1", "train/loss", 1.0, 4),
    ]  # fmt: skip


def test_without_the_package_its_extra_is_named(
    command: Command, toy_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mlflow" else find(name))
    printed = command(train.main, *TOY, "logger=mlflow", "output=run")
    assert printed.startswith("exit 1")
    assert "pip install -e '.[mlflow]'" in printed
    assert not Path("run/config.yaml").exists()
