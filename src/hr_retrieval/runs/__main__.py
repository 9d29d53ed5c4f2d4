"""`python -m hr_retrieval.runs`: the runs that there are, finished and not, a line each."""

from omegaconf import DictConfig

from hr_retrieval.config.command import entry_point


@entry_point("runs")
def main(config: DictConfig) -> None:
    """List runs."""
    # Run directories are read by what reads checkpoints too: torch takes seconds to import,
    # `--help` needs none of it.
    from hr_retrieval.runs.listing import report

    report([config.runs] if isinstance(config.runs, str) else list(config.runs))


if __name__ == "__main__":
    main()
