"""`python -m hr_retrieval.export`: a run's best encoder as a folder of its own."""

from pathlib import Path

from omegaconf import DictConfig

from hr_retrieval.config.command import entry_point


@entry_point("export")
def main(config: DictConfig) -> None:
    """Export one run."""
    from hr_retrieval.errors import UserError
    from hr_retrieval.runs.directory import Run

    formats = ("sentence-transformers", "onnx", "onnx-int8")
    if config.format not in formats:
        raise UserError(f"format to be {', '.join(formats)}", repr(config.format), "Choose one of them.")
    folder, run = Path(config.output).resolve(), Run.open(Path(config.run))
    evaluation = Path(config.evaluation) if config.evaluation else None
    if config.format == "sentence-transformers":
        run.export(folder, licence=config.licence, evaluation=evaluation)
        print(f"The encoder is in {folder}: SentenceTransformer({str(folder)!r}) loads it.")
        return
    from hr_retrieval.extras import ONNX, check_extra

    check_extra("onnx", *ONNX)
    from hr_retrieval.export.onnx import export_graph

    loss = export_graph(run, folder, config.format == "onnx-int8", config.measured, config.licence, evaluation)
    print(*([loss] if loss else []), f"The graph is in {folder / 'model.onnx'}: README.md beside it runs it.", sep="\n")


if __name__ == "__main__":
    main()
