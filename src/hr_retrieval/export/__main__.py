"""`python -m hr_retrieval.export`: a run's best encoder as a folder that Sentence Transformers loads."""

from pathlib import Path

from omegaconf import DictConfig

from hr_retrieval.config.command import entry_point


@entry_point("export")
def main(config: DictConfig) -> None:
    """Export one run."""
    from hr_retrieval.runs.directory import Run

    folder = Path(config.output).resolve()
    Run.open(Path(config.run)).export(folder)
    print(f"The encoder is in {folder}: SentenceTransformer({str(folder)!r}) loads it.")


if __name__ == "__main__":
    main()
