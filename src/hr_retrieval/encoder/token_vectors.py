"""A vector for each token: texts of a batch in one row without padding, or padded where an architecture needs it."""

import logging
from bisect import bisect_right
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from hr_retrieval.encoder.cpu.rounding import native_bfloat16, rounds_on_cpu
from hr_retrieval.encoder.cpu.tiles import LONGEST, Tiles
from hr_retrieval.encoder.flash import Bounds, has_flash
from hr_retrieval.encoder.loading import first_position
from hr_retrieval.encoder.mode import evaluating
from hr_retrieval.encoder.packing import NAME as PACKED
from hr_retrieval.encoder.packing import Layout, Parted, layout, length_groups, waste_on
from hr_retrieval.encoder.quiet import quiet
from hr_retrieval.encoder.ragged import Ragged, on_device
from hr_retrieval.errors import UserError

# Places of padding that are worth one call less on a CPU, measured with MiniLM on two cores: of the
# transformer, and of the attention alone, where calls of equal lengths, without any padding, are
# fastest.
_PADDED_WASTE, _PACKED_WASTE = 256, 0
# How far unit token vectors, packed and padded, may differ: rounding gives 1e-6, a wrong attention
# 1e-2 and more.
_EQUAL = 1e-4

_log = logging.getLogger(__name__)


class TokenVectors:
    """The last hidden states of a transformer, which stays its owner's to register.

    Args:
        transformer: a Hugging Face encoder.
        name: what to call it in messages.
        max_length: the most tokens of a text.
        dropout: set in its dropout layers, for training.
        packing: True to insist, False for never, None for wherever a check on a few texts finds it
            equal to padding.
        layers: a `WeightedLayerPooling` of the library, which adds up the vectors of several layers;
            None for those of the last. It stays its owner's to register too.

    Attributes:
        packed: whether texts lie in one row without padding.
        reason: why, or why not.

    Raises:
        UserError: `packing` is True and the check fails; or no such share can be dropped.
    """

    def __init__(
        self,
        transformer: nn.Module,
        name: str,
        max_length: int,
        dropout: float = 0.0,
        packing: bool | None = None,
        layers: nn.Module | None = None,
    ) -> None:
        self.transformer: Any = transformer
        self.layers = layers
        self.dropout = dropout
        parts = list(transformer.modules())
        self._causal = any(getattr(part, "is_causal", False) for part in parts)
        windows = (getattr(part, "sliding_window", None) for part in parts)
        self._window = min((window for window in windows if window is not None), default=None)
        set_dropout(transformer, dropout)
        self.packed, self.reason = False, "switched off"
        if packing is not False:
            self.packed, self.reason = self._try_packing(max_length)
            if not self.packed:
                _report_padding(name, self.reason, insisted=packing is True)

    def __call__(self, tokens: Ragged, lengths: list[int]) -> Float[Tensor, "N h"]:
        """Vectors of all tokens of texts of these ascending lengths, none empty."""
        return self.from_words(self.table(tokens.ids), lengths) if self.packed else self._padded(tokens, lengths)

    @property
    def table(self) -> nn.Module:
        """The table of words, which is looked up first."""
        table: nn.Module = self.transformer.get_input_embeddings()
        return table

    def from_words(self, words: Float[Tensor, "N h"], lengths: list[int]) -> Float[Tensor, "N h"]:
        """Packed, from the tokens' rows in the table of words."""
        device = words.device
        sizes = torch.tensor(lengths)
        starts = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
        positions = on_device(torch.arange(len(words)) - starts + first_position(self.transformer), device)
        return self._states(
            inputs_embeds=words[None],
            position_ids=positions[None],
            packed_layout=self.layout(lengths, device),
        )[0]

    def padded(self, ids: Int[Tensor, "B L"], mask: Int[Tensor, "B L"]) -> Float[Tensor, "B L h"]:
        """Vectors of texts that are padded behind their last token; `mask` is 1 at tokens, and 0 at padding."""
        return self._states(input_ids=ids, attention_mask=mask)

    def layout(self, lengths: list[int], device: torch.device) -> Layout:
        """Without dropout: bounds for flash attention on a GPU that has it, tiles for short texts
        in bfloat16 on a CPU that has it. Groups for all others, for causal layers, and for texts
        longer than the window of a layer.
        """
        if self._causal or (self._window is not None and lengths[-1] > self._window):
            return layout(lengths, waste_on(device, _PACKED_WASTE), device)
        heads: int = getattr(self.transformer.config, "num_attention_heads", 0)
        dropout = self.transformer.training and self.dropout
        if device.type == "cuda" and not dropout and has_flash(device, self._dtype(device), self._head_size(heads)):
            offsets = torch.tensor([0, *lengths]).cumsum(0, dtype=torch.int32)
            return Bounds(on_device(offsets, device), lengths[-1])
        tiled = device.type == "cpu" and rounds_on_cpu() and native_bfloat16() and not dropout
        short = bisect_right(lengths, LONGEST) if tiled and heads else 0
        groups = layout(lengths[short:], waste_on(device, _PACKED_WASTE), device)
        if not short:
            return groups
        tiles = Tiles(lengths[:short], heads)
        return Parted(tiles, sum(lengths[:short]), groups) if groups else tiles

    def _padded(self, tokens: Ragged, lengths: list[int]) -> Float[Tensor, "N h"]:
        """Padded sub-batches of similar length."""
        rows = torch.arange(len(lengths))
        groups = length_groups(lengths, waste_on(tokens.ids.device, _PADDED_WASTE))
        return torch.cat([self._padded_group(tokens.take(rows[begin:end])) for begin, end in groups])

    def _padded_group(self, tokens: Ragged) -> Float[Tensor, "n h"]:
        device = tokens.ids.device
        real = torch.arange(int(tokens.lengths.max())) < tokens.lengths[:, None]
        places = on_device(real.flatten().nonzero().squeeze(1), device)
        ids = torch.full((real.numel(),), self.transformer.config.pad_token_id or 0, device=device)
        ids[places] = tokens.ids
        mask = on_device(real.long(), device)
        return self.padded(ids.view(real.shape), mask).flatten(0, 1)[places]

    def _states(self, **inputs: Any) -> Float[Tensor, "B L h"]:
        output = self.transformer(**inputs)
        if self.layers is None:
            last: Tensor = output.last_hidden_state
            return last
        mixed: Tensor = self.layers({"all_layer_embeddings": output.hidden_states})["token_embeddings"]
        return mixed

    def _dtype(self, device: torch.device) -> torch.dtype:
        """What products are computed in."""
        autocast = torch.is_autocast_enabled(device.type)
        dtype: torch.dtype = torch.get_autocast_dtype(device.type) if autocast else self.transformer.dtype
        return dtype

    def _head_size(self, heads: int) -> int:
        config = self.transformer.config
        size: int = getattr(config, "head_dim", None) or getattr(config, "hidden_size", 0) // max(1, heads)
        return size

    def _try_packing(self, max_length: int) -> tuple[bool, str]:
        """Turn packing on if it gives the token vectors that padding gives; say how far they differ, or what failed."""
        config = self.transformer.config
        # What it was has no public name; sdpa is transformers' own default.
        before = getattr(config, "_attn_implementation", "sdpa")
        tokens = _probe(config.vocab_size, max_length)
        lengths = tokens.lengths.tolist()
        try:
            with evaluating(self.transformer), torch.inference_mode():
                expected = F.normalize(self._padded_group(tokens), dim=-1)
                self._attend_by(PACKED)
                found = F.normalize(self.from_words(self.table(tokens.ids), lengths), dim=-1)
            difference = float((found - expected).abs().max())
            reason = f"packed and padded differ by {difference:.1e}"
        except (TypeError, ValueError, RuntimeError, IndexError) as error:
            difference, reason = float("inf"), f"{type(error).__name__}: {error}".splitlines()[0]
        equal = difference < _EQUAL
        if not equal:
            self._attend_by(before)
        return equal, reason

    def _attend_by(self, implementation: str) -> None:
        # It warns where the class of the transformer has but one attention: what the check finds is
        # said instead.
        with quiet():
            self.transformer.set_attn_implementation(implementation)


def _report_padding(name: str, reason: str, insisted: bool) -> None:
    if insisted:
        raise UserError("an architecture whose texts can be packed", f"{name}: {reason}", "Leave packing at null.")
    _log.info("%s runs with padded batches: packing does not work for it (%s).", name, reason)


def _probe(vocabulary: int, max_length: int) -> Ragged:
    """Sequences of different lengths, some equal, one longer than the windows of local attention."""
    lengths = torch.tensor(sorted(min(length, max_length) for length in (3, 7, 12, 12, 19, 160)))
    generator = torch.Generator().manual_seed(0)
    # The lowest ids are special tokens, padding among them.
    ids = torch.randint(min(10, vocabulary - 1), vocabulary, (int(lengths.sum()),), generator=generator)
    return Ragged.from_lengths(ids, lengths)


def set_dropout(transformer: nn.Module, dropout: float) -> None:
    if not 0 <= dropout < 1:
        raise UserError("a dropout of at least 0 and below 1", str(dropout), "Set dropout to 0 or 0.1, for example.")
    for module in transformer.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
