"""`python -m hr_retrieval.train`: prepare if need be, measure the encoder as it is, train it, measure again, export."""

import gc

from omegaconf import DictConfig

from hr_retrieval.config.command import entry_point
from hr_retrieval.data.command import recorded_only
from hr_retrieval.processes import one_of_several
from hr_retrieval.train import resolvers

resolvers.register()


@one_of_several
@entry_point("train", recorded_only)
def main(config: DictConfig) -> float | None:
    """One training run, new or resumed; its value in a sweep is the best of `callbacks.best.monitor` in validation."""
    # Lightning and torch take seconds to import; `--help` and `--cfg job` need neither.
    from hr_retrieval.train.run import run

    best = run(config)
    # Trainer and module refer to each other: in a sweep the next run would begin with the last
    # one's model still in memory.
    gc.collect()
    return best


if __name__ == "__main__":
    main()
