"""`python -m hr_retrieval.time`: how long an encoder and the search over its embeddings take on this machine."""

from pathlib import Path

from omegaconf import DictConfig

from hr_retrieval.config.command import entry_point


@entry_point("time")
def main(config: DictConfig) -> None:
    """Time one encoder."""
    # torch takes seconds to import; `--help` needs none of it.
    from hr_retrieval.time.timing import Effort, report, take_timings

    output = Path(config.output)
    data = config.data.folder and Path(config.data.folder)
    effort = Effort(config.texts, config.batch_size, config.repeats, config.passes, config.warmup, config.threads)
    report(take_timings(config.encoder, output, data, effort, config.ef_search), output)


if __name__ == "__main__":
    main()
