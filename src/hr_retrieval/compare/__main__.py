"""`python -m hr_retrieval.compare`: finished runs side by side, with spreads over seeds and tests over queries."""

from omegaconf import DictConfig

from hr_retrieval.config.command import entry_point


@entry_point("compare")
def main(config: DictConfig) -> None:
    """Compare runs."""
    # Run directories are read by what reads checkpoints too: torch takes seconds to import,
    # `--help` needs none of it.
    from hr_retrieval.compare.comparison import compare
    from hr_retrieval.compare.report import report, write
    from hr_retrieval.files import check_vacant
    from hr_retrieval.runs.folder import output_folder

    runs = [config.runs] if isinstance(config.runs, str) else list(config.runs)
    by = [config.by] if isinstance(config.by, str) else config.by and list(config.by)
    output = output_folder(config.output, "comparisons", [])
    # Before the runs are read, which takes a while.
    check_vacant(output)
    comparison = compare(runs, by, config.baseline, config.metric, config.lexical)
    write(comparison, output)
    report(comparison, output)


if __name__ == "__main__":
    main()
