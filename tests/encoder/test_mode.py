"""Layers in evaluation mode for a while."""

import pytest
from torch import nn

from hr_retrieval.encoder.mode import evaluating


@pytest.mark.parametrize(
    "modes", [(True, True, True), (False, False, False), (True, False, True), (False, True, False)]
)
def test_each_layer_gets_its_own_mode_back(modes: tuple[bool, ...]) -> None:
    whole = nn.Sequential(nn.Dropout(), nn.Dropout())
    for part, mode in zip(whole.modules(), modes, strict=True):
        part.training = mode

    def interrupted() -> None:
        with evaluating(whole):
            assert not any(part.training for part in whole.modules())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert tuple(part.training for part in whole.modules()) == modes
