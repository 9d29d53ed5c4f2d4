"""A cross-encoder with random weights."""

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from hr_retrieval.encoder.tiny import write_tiny


def write_cross_encoder(folder: Path) -> Path:
    """With random weights."""
    write_tiny(folder, layers=1)
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(folder, num_labels=1)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    (folder / "modules.json").unlink()
    return folder
