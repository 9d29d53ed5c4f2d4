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
        settings: the other fields of `hr_retrieval.config.schema.SweepConfig`.
    """

    def __init__(self, params: dict[str, str] | None = None, **settings: Any) -> None:
        self.params, self.settings = params or {}, settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands over, and build the launcher that the config names."""
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the trials, with the overrides of the command line that are not Hydra's own."""
        # Hydra imports every plugin at each start; Optuna takes half a second and only a sweep
        # needs it.
        from hr_retrieval.config.schema import SweepConfig
        from hr_retrieval.errors import UserError
        from hr_retrieval.sweep.search_space import SearchSpace
        from hr_retrieval.sweep.sweep import Sweep

        lines = [f"{key}={value}" for key, value in self.params.items()] + arguments
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        folder = Path(self.config.hydra.sweep.dir).absolute()
        try:
            space = SearchSpace.of(parser.parse_overrides(lines))
            sweep = Sweep(SweepConfig(**self.settings), space, folder, self.launcher.launch)
            # Every value composes once before the first trial: a mistyped option is no failed
            # trial.
            self.validate_batch_is_legal(space.samples())
            folder.mkdir(parents=True, exist_ok=True)
            OmegaConf.save(self.config, folder / "multirun.yaml")
            sweep.run()
        except UserError as error:
            raise CompactHydraException(str(error)) from None
