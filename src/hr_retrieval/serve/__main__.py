"""`python -m hr_retrieval.serve`: a page and an API over an index, on this machine unless told otherwise."""

from omegaconf import DictConfig

from hr_retrieval.config.command import entry_point


@entry_point("serve")
def main(config: DictConfig) -> None:
    """Serve until told to end."""
    from hr_retrieval.extras import check_extra

    check_extra("search", "lancedb", "fastapi", "uvicorn", "prometheus_client")
    from hr_retrieval.serve.service import Settings, serve

    serve(Settings(**{str(key): value for key, value in config.items()}))


if __name__ == "__main__":
    main()
