"""Weights, gradients and optimizer state shared out over the processes: FSDP, with checkpoints as in any other run."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from pytorch_lightning.accelerators import CUDAAccelerator
from pytorch_lightning.plugins import FSDPPrecision, Precision
from pytorch_lightning.strategies import FSDPStrategy
from pytorch_lightning.trainer.states import TrainerFn
from torch import nn
from torch.distributed.fsdp import (
    FullOptimStateDictConfig,
    FullStateDictConfig,
    FullyShardedDataParallel,
    StateDictType,
)
from torch.optim import Optimizer

from hr_retrieval.errors import UserError
from hr_retrieval.runs.checkpoints import load_checkpoint

Allowed = Literal["32-true", "bf16-mixed"]
PRECISIONS = get_args(Allowed)


class ShardedStrategy(FSDPStrategy):
    """Fully sharded data parallel training (Zhao et al. 2023, arXiv 2304.11277) that computes what one process would.

    The whole module is one unit: between the steps each process keeps its share of weights, gradients and optimizer state,
    and within a step all weights. Under bf16-mixed the weights stay in float32 and autocast computes in bfloat16, as with
    any other strategy, where Lightning would cast weights, summed gradients and buffers too. A checkpoint is one file with
    the tensors of an unsharded run, read as tensors and plain values only, where Lightning would unpickle whatever it holds.

    It changes the module that it is given for good: give each fit, validation or test a module of its own.
    """

    def __init__(self) -> None:
        super().__init__(state_dict_type="full")

    @property
    def precision_plugin(self) -> FSDPPrecision:
        """Autocast or nothing; the weights are never cast."""
        return super().precision_plugin

    @precision_plugin.setter
    def precision_plugin(self, precision_plugin: Precision | None) -> None:
        # Lightning asks the strategy first for a precision of its own.
        self._precision_plugin = None
        if precision_plugin is None:
            return
        precision = precision_plugin.precision
        if precision not in PRECISIONS:
            raise UserError(
                f"trainer.precision={' or '.join(PRECISIONS)} with trainer=fsdp",
                str(precision),
                "Set one of these: the scale of 16-mixed would differ between the pieces, and 16-true or bf16-true round "
                "small steps away.",
            )
        device = "cuda" if isinstance(self.accelerator, CUDAAccelerator) else "cpu"
        self._precision_plugin = _Autocast(cast(Allowed, precision), device)

    def _setup_model(self, model: nn.Module) -> FullyShardedDataParallel:
        # Moved before, so that the module knows its device. torch shards on a CPU only if told that it is one.
        model.to(self.root_device)
        return FullyShardedDataParallel(model, device_id=self.root_device, use_orig_params=True)

    @property
    def mixed_precision_config(self) -> None:
        """None: the weights are not cast."""
        return None

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """All weights on the first process, none on the others."""
        with self._whole(first_only=True) as model:
            weights: dict[str, Any] = model.state_dict()
            return weights

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The state of an unsharded optimizer on the first process, nothing on the others."""
        with self._whole(first_only=True) as model:
            optimizer = getattr(optimizer, "_optimizer", optimizer)
            state = FullyShardedDataParallel.optim_state_dict(model, optimizer)
            names = _names(model, optimizer)
            return _renamed(state, {name: number for number, name in enumerate(names)}) if self.is_global_zero else {}

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint of any strategy and share its weights and optimizer states out.

        Raises:
            UserError: as `checkpoints.load_checkpoint`.
        """
        checkpoint = load_checkpoint(Path(self.broadcast(str(checkpoint_path))))
        assert self.lightning_module is not None
        with self._whole(first_only=False) as model:
            model.load_state_dict(checkpoint.pop("state_dict"))
            if self.lightning_module.trainer.state.fn == TrainerFn.FITTING:
                for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
                    _load_optimizer(model, optimizer, state)
        return checkpoint

    def clip_gradients(self, norm: float) -> None:
        """Scale the gradients so that their norm over all processes is at most `norm`."""
        assert isinstance(self.model, FullyShardedDataParallel)
        self.model.clip_grad_norm_(norm)

    @contextmanager
    def _whole(self, first_only: bool) -> Iterator[FullyShardedDataParallel]:
        """The wrapped module, whose state is whole and on the CPU."""
        assert isinstance(self.model, FullyShardedDataParallel)
        # On a CPU torch would hand out memory that it frees.
        offload = self.root_device.type != "cpu"
        with FullyShardedDataParallel.state_dict_type(
            self.model,
            StateDictType.FULL_STATE_DICT,
            FullStateDictConfig(offload_to_cpu=offload, rank0_only=first_only),
            FullOptimStateDictConfig(offload_to_cpu=offload, rank0_only=first_only),
        ):
            yield self.model


class _Autocast(FSDPPrecision):
    """Lightning's `MixedPrecision`, as a class that its FSDP takes; what goes in and out is not searched for tensors."""

    def __init__(self, precision: Allowed, device: str) -> None:
        super().__init__(precision)
        self.device = device

    def forward_context(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16-mixed")

    def convert_input(self, data: Any) -> Any:
        return data

    def convert_output(self, data: Any) -> Any:
        return data


def _load_optimizer(model: FullyShardedDataParallel, optimizer: Optimizer, state: dict[str, Any]) -> None:
    named = _renamed(state, dict(enumerate(_names(model, optimizer))))
    optimizer.load_state_dict(FullyShardedDataParallel.optim_state_dict_to_load(model, optimizer, named))


def _names(model: FullyShardedDataParallel, optimizer: Optimizer) -> list[str]:
    """The parameters in the order of the optimizer, by which its state is numbered; torch's own numbers are the model's."""
    names = {id(parameter): name for name, parameter in model.module.named_parameters()}
    return [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]


def _renamed(state: dict[str, Any], keys: Mapping[Any, Any]) -> dict[str, Any]:
    """An optimizer's state with other keys for its parameters."""
    groups = [{**group, "params": [keys[key] for key in group["params"]]} for group in state["param_groups"]]
    return {"state": {keys[key]: values for key, values in state["state"].items()}, "param_groups": groups}
