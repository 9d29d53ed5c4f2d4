"""What `configs/train.yaml` asks for while it is composed: the run directory, the fastest precision,
and the folders of the data.
"""

from typing import Any

from omegaconf import OmegaConf

from hr_retrieval.config.sources import folders, listed
from hr_retrieval.encoder.languages import short_name


def register() -> None:
    """Make `${run_folder:...}`, `${fastest_precision:...}` and `${folders:...}` known to every config."""
    OmegaConf.register_new_resolver("run_folder", _run_folder, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("folders", folders, replace=True)
    OmegaConf.register_new_resolver("fastest_precision", _fastest_precision, use_cache=True, replace=True)


def _run_folder(
    resume: str | None, output: str | None, project: str, name: str | None, encoder: str, folder: Any
) -> str:
    # Run directories are read by what reads checkpoints too: torch takes seconds to import,
    # `--help` needs none of it.
    from hr_retrieval.runs.folder import name_of, run_folder

    return str(run_folder(resume, output, project, name or name_of([short_name(encoder), *listed(folder)])))


def _fastest_precision(accelerator: str = "auto") -> str:
    """The fastest precision that what `trainer.accelerator` names computes by itself; emulation is
    slower than float32.
    """
    import torch

    from hr_retrieval.encoder.cpu.rounding import native_bfloat16

    if accelerator in ("cuda", "gpu", "auto") and torch.cuda.is_available():
        capability = torch.cuda.get_device_capability()
        return "bf16-mixed" if capability >= (8, 0) else "16-mixed" if capability >= (7, 0) else "32-true"
    if accelerator == "cpu" or (accelerator == "auto" and not torch.backends.mps.is_available()):
        return "bf16-mixed" if native_bfloat16() else "32-true"
    return "32-true"
