"""What may be changed beside `resume=`, and what a run keeps to its end."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hr_retrieval.config.build import check_targets
from hr_retrieval.errors import UserError, said
from hr_retrieval.runs.directory import Part, Run

# What a run keeps, and why.
_KEPT: Mapping[str, str] = {
    r"output": "a resumed run stays in its folder",
    r"project|seed|split_seed|.+\.seed": "the run is named by it",
    r"data\..*|datamodule\.(folder|bucket_batches|repeats|curriculum|sources.*|overlap|shared_groups)": "the run keeps its data, and their order",
    r"datamodule\.(evaluation_queries|identical_text|(validation|test)_corpus)|model\.depth": (
        "the figures before and after would measure different tasks"
    ),
    r"model\.(cross_)?encoder\.(?!dropout$|packing$).*|model\.queue_size": (
        "the run keeps its encoder, and what its checkpoints hold"
    ),
    r"callbacks\.best\.(?!save_weights_only$).*": "the best checkpoint so far was chosen by it",
    r"trainer\.default_root_dir|(callbacks|logger)\.\w+\.(dirpath|filename|folder|path|save_dir)": (
        "the run stays in its folder"
    ),
    r"(?!callbacks\.|logger\.).*\._(target|partial)_": "the run keeps the parts that it is made of",
}


def changed(run: Run, overrides: Sequence[str], groups: Collection[str], steps: int) -> Run:
    """The run with the changes that were given beside `resume=`, as a part of its own; nothing is written.

    The same changes a second time are the same part: what was killed goes on.

    Args:
        run: as it lies on disk.
        overrides: of the command line, `resume=` itself aside.
        groups: names of the config groups, of which no other option can be chosen.
        steps: optimizer steps behind the checkpoint that the run goes on from.

    Raises:
        UserError: names what cannot be changed in a run that has begun, or what it does not have.
    """
    if not overrides or (run.parts and run.parts[-1].overrides == tuple(overrides)):
        return run
    config = OmegaConf.create(OmegaConf.to_container(run.config))
    assert isinstance(config, DictConfig)
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        _check(override, groups)
        _apply(config, override)
    try:
        OmegaConf.resolve(config)
    except OmegaConfBaseException as error:
        raise UserError(
            "values that resolve in the run's own config",
            f"{' '.join(overrides)}: {said(error)}",
            "Write the value out.",
        ) from None
    if config == run.config:
        return run
    check_targets(OmegaConf.to_container(config))
    return replace(run, config=config, parts=(*run.parts, Part(steps, tuple(overrides))))


def _check(override: Override, groups: Collection[str]) -> None:
    key, given = override.key_or_group, str(override.input_line)
    if key in groups or override.package is not None:
        raise UserError(
            "plain values beside resume=, such as trainer.max_epochs=20",
            f"{given}, another option of a group",
            f"Change the values that differ one by one (such as {key.replace('/', '.')}.<key>=...), or start a new run.",
        )
    for keys, why in _KEPT.items():
        if re.fullmatch(keys, key):
            raise UserError(
                "values beside resume= that a run may change after it has begun",
                f"{given}: {why}",
                "Leave it out, or start a new run with it.",
            )


def _apply(config: DictConfig, override: Override) -> None:
    key = override.key_or_group
    known = OmegaConf.select(config, key, default=_ABSENT) is not _ABSENT
    if not known and not override.is_add() and not override.is_force_add():
        near = key.rpartition(".")[0]
        own = OmegaConf.select(config, near) if near else config
        keys = ", ".join(str(name) for name in own) if isinstance(own, DictConfig) else "none"
        remedy = f"Keys beside it: {keys}."
        if not override.is_delete():
            remedy += f" A new one is added with +{override.input_line}."
        raise UserError(f"a key of the run's config in {override.input_line}", f"{key}, which it has not", remedy)
    if override.is_delete():
        parent, _, name = key.rpartition(".")
        node = OmegaConf.select(config, parent) if parent else config
        del node[name]
    else:
        OmegaConf.update(config, key, override.value(), merge=True, force_add=True)


_ABSENT: Any = object()
