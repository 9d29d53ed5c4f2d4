"""The Hydra plugin of `hydra/sweeper=optuna`; Hydra finds sweepers in this namespace package only."""

from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import CompactHydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class OptunaSweeper(Sweeper):
    """Runs `-m` sweeps as trials of an Optuna study.

    Args:
        params: overrides with the values to sweep over, by key; the command line goes before them.
        settings: the fields of `hr_retrieval.sweeping.Settings`.
    """

    def __init__(self, params: dict[str, str] | None = None, **settings: Any) -> None:
        self.params, self.settings = params or {}, settings
        self.config: DictConfig | None = None
        self.launcher: Any = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands over, and build the launcher that the config names."""
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the trials.

        Args:
            arguments: the overrides of the command line that are not Hydra's own.
        """
        # Hydra imports every plugin at each start; Optuna takes half a second and only a sweep needs it.
        from hr_retrieval.errors import UserError
        from hr_retrieval.search_space import SearchSpace
        from hr_retrieval.sweeping import Settings, Sweep

        assert self.config is not None
        assert self.hydra_context is not None
        lines = [f"{key}={value}" for key, value in self.params.items()] + list(arguments)
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        folder = Path(self.config.hydra.sweep.dir)
        try:
            space = SearchSpace.of(parser.parse_overrides(lines))
            settings = Settings(**self.settings)
            # Every value composes once before the first trial: a mistyped option is no failed trial.
            self.validate_batch_is_legal(space.samples())
            folder.mkdir(parents=True, exist_ok=True)
            OmegaConf.save(self.config, folder / "multirun.yaml")
            Sweep(settings, space, folder.absolute(), self.launcher.launch).run()
        except UserError as error:
            raise CompactHydraException(str(error)) from None
