"""`python -m hr_retrieval.evaluate`: what an encoder finds in a prepared data set, beside baselines."""

from pathlib import Path

from omegaconf import DictConfig

from hr_retrieval.config.command import entry_point


@entry_point("evaluate")
def main(config: DictConfig) -> None:
    """Measure one encoder."""
    # torch takes seconds to import; `--help` needs none of it.
    from hr_retrieval.encoder.languages import short_name
    from hr_retrieval.evaluate.evaluation import evaluate
    from hr_retrieval.evaluate.report import report
    from hr_retrieval.ranking.options import asked_mixing
    from hr_retrieval.runs.folder import output_folder

    data = Path(config.data.folder)
    output = output_folder(config.output, "evaluations", [short_name(config.encoder), str(data)])
    options = (config.split, config.corpus, config.identical_text, config.base, config.counterfactuals)
    long = (config.passages, config.overlap)
    more = (config.dimensions, config.rescored, config.rerank, config.depth)
    report(evaluate(config.encoder, data, output, *options, asked_mixing(config.ranking.mixing), *long, *more), output)


if __name__ == "__main__":
    main()
