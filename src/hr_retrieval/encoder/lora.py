"""Low-rank adapters: a few weights that are trained beside those of a transformer, and added to them afterwards."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from hr_retrieval.encoder.folder import hub_name
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json

# The name that peft gives an adapter where there is but one.
_NAME = "default"
# What of a peft folder is followed. Any other setting changes what an adapter computes.
_FOLLOWED = ("r", "lora_alpha", "target_modules", "use_rslora", "rank_pattern", "alpha_pattern")
_REFUSED = ("use_dora", "modules_to_save", "layers_to_transform", "trainable_token_indices", "lora_bias")


@dataclass(frozen=True)
class Lora:
    """`W x + (alpha / rank) B A x` in place of `W x`, where `A` `[rank, n]` and `B` `[m, rank]` are
    trained, `B` from zero on, and `W` is not. Source: Hu et al. 2021 (LoRA, arXiv 2106.09685).

    Args:
        rank: of the adapters; 0 trains all weights instead.
        alpha: how much they count.
        dropout: of what goes into them, while training.
        targets: ends of the names of the linear layers that get one, such as query; None for all of
            the transformer.
        folder: an adapter's, as peft writes it, to begin with; its rank, alpha and targets hold.

    Raises:
        UserError: a value is out of range.
    """

    rank: int = 0
    alpha: float = 16.0
    dropout: float = 0.0
    targets: Sequence[str] | None = None
    folder: str | None = None

    def __post_init__(self) -> None:
        for name, value, fits in (
            ("a rank of at least 0", self.rank, self.rank >= 0),
            ("an alpha above 0", self.alpha, self.alpha > 0),
            ("a dropout of at least 0 and below 1", self.dropout, 0 <= self.dropout < 1),
        ):
            if not fits:
                raise UserError(f"{name} of model.encoder.lora", str(value), "rank=8 and alpha=16 are usual.")

    @property
    def used(self) -> bool:
        """Whether adapters are trained at all."""
        return self.rank > 0 or self.folder is not None


def adapt(transformer: nn.Module, lora: Lora, name: str) -> None:
    """Give a transformer adapters, and freeze its own weights.

    Args:
        name: of the encoder.

    Raises:
        UserError: peft is missing, a target is no linear layer, or the adapter's folder is for
            another encoder.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise UserError(
            "the package peft, for model.encoder.lora",
            "no such package in this environment",
            "Install it: pip install -e '.[lora]'.",
        ) from None
    settings: dict[str, Any] = {
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "target_modules": "all-linear" if lora.targets is None else list(lora.targets),
    }
    if lora.folder is not None:
        settings = _settings(Path(lora.folder), name)
    # A pooler is for other tasks, and gets no gradient.
    others = "pooler.*" if getattr(transformer, "pooler", None) is not None else None
    options = LoraConfig(**settings, lora_dropout=lora.dropout, exclude_modules=others)
    try:
        inject_adapter_in_model(options, transformer, _NAME)
    except ValueError as error:
        raise _misfit(lora, name, f"{error}".splitlines()[0]) from None
    odd = [layer for layer in _adapted(transformer).values() if not isinstance(layer.base_layer, nn.Linear)]
    if odd:
        raise _misfit(lora, name, type(odd[0].base_layer).__name__)
    for own, weight in transformer.named_parameters():
        weight.requires_grad_(".lora_" in own)
    if lora.folder is not None:
        _load(transformer, Path(lora.folder), name)


def merge(module: nn.Module) -> None:
    """Add all adapters within a module to the weights beside them; what it computes stays the same."""
    for name, layer in _adapted(module).items():
        weight = layer.base_layer.weight
        # A tensor of its own: what stood there can be put back.
        weight.data = weight.data + _delta(layer)
        _put(module, name, layer.base_layer)
        layer.base_layer.requires_grad_(True)


@contextmanager
def merged(module: nn.Module) -> Iterator[None]:
    """Within it, the adapters of a module are added to the weights beside them."""
    layers = _adapted(module)
    own = {name: layer.base_layer.weight.data for name, layer in layers.items()}
    merge(module)
    try:
        yield
    finally:
        for name, layer in layers.items():
            layer.base_layer.requires_grad_(False)
            layer.base_layer.weight.data = own[name]
            _put(module, name, layer)


def merged_weights(module: nn.Module) -> dict[str, Tensor]:
    """The state of a module as it is once its adapters are merged."""
    layers = _adapted(module)
    state: dict[str, Tensor] = {}
    for name, weight in module.state_dict().items():
        layer, _, inner = name.rpartition(".base_layer.")
        if layer:
            state[f"{layer}.{inner}"] = weight + _delta(layers[layer]) if inner == "weight" else weight
        elif ".lora_" not in name:
            state[name] = weight
    return state


def has_adapters(module: nn.Module) -> bool:
    """Whether there are any within a module."""
    return bool(_adapted(module))


def _adapted(module: nn.Module) -> dict[str, Any]:
    return {name: layer for name, layer in module.named_modules() if hasattr(layer, "base_layer")}


def _delta(layer: Any) -> Float[Tensor, "m n"]:
    """What an adapter adds, in float64 on the CPU: the same bits whatever trained it."""
    a, b = (factor[_NAME].weight.detach().double().cpu() for factor in (layer.lora_A, layer.lora_B))
    weight, added = layer.base_layer.weight, b @ a * layer.scaling[_NAME]
    found: Tensor = added.to(weight.device, weight.dtype)
    return found


def _put(module: nn.Module, name: str, layer: nn.Module) -> None:
    above, _, last = name.rpartition(".")
    setattr(module.get_submodule(above), last, layer)


def _settings(folder: Path, name: str) -> dict[str, Any]:
    """What a peft folder says of its adapter."""
    if not (folder / "adapter_config.json").is_file() or not (folder / "adapter_model.safetensors").is_file():
        raise UserError(
            f"adapter_config.json and adapter_model.safetensors in {folder}",
            ", ".join(sorted(path.name for path in folder.glob("adapter_*"))) or "neither",
            "Name a folder that peft wrote. Pickled weights are not read: write them anew as safetensors.",
        )
    content = read_json(folder / "adapter_config.json")
    if not isinstance(content, dict) or content.get("peft_type") != "LORA":
        kind = content.get("peft_type") if isinstance(content, dict) else "no settings"
        raise UserError(f"a LORA adapter in {folder}", str(kind), "Other adapters of peft are not read.")
    other = [key for key in _REFUSED if content.get(key)] + (["bias"] if content.get("bias", "none") != "none" else [])
    if other:
        raise UserError(f"a plain adapter in {folder}", ", ".join(other), "Merge it by peft, and name that folder.")
    base, own = content.get("base_model_name_or_path"), hub_name(name)
    if base and own and hub_name(base) not in (None, own):
        raise UserError(
            f"an adapter for {own}", f"{folder}, made for {base}", f"Set model.encoder.name_or_path={base}."
        )
    return {key: content[key] for key in _FOLLOWED if content.get(key)}


def _load(transformer: nn.Module, folder: Path, name: str) -> None:
    """Put the weights of a peft folder in, each in the place that its name says."""
    given = load_file(folder / "adapter_model.safetensors")
    found = {}
    for key, weight in given.items():
        place = key.removeprefix("base_model.model.").replace(".weight", f".{_NAME}.weight")
        found[place] = weight
    own = {key: weight for key, weight in transformer.state_dict().items() if ".lora_" in key}
    differ = sorted({*own, *found} - {key for key in own.keys() & found.keys() if own[key].shape == found[key].shape})
    if differ:
        base = read_json(folder / "adapter_config.json").get("base_model_name_or_path")
        raise UserError(
            f"an adapter for {name}",
            f"{folder}, made for {base or 'another encoder'}: {differ[0]} does not fit",
            f"Set model.encoder.name_or_path={base}." if base else "Name the encoder that it was made for.",
        )
    transformer.load_state_dict(found, strict=False)


def _misfit(lora: Lora, name: str, said: str) -> UserError:
    return UserError(
        f"linear layers of {name} as model.encoder.lora.targets",
        f"{list(lora.targets or ['all'])}: {said}",
        "Name the ends of their names, such as [query, value], or null for all of them.",
    )
