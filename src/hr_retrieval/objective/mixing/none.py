"""No mixing: the loss compares what the encoder gave."""

from hr_retrieval.objective.mixing.base import Given, Mixed, Mixing, unmixed


class NoMixing(Mixing):
    """The identity, also in training."""

    def __init__(self) -> None:
        super().__init__()

    def mix(self, given: Given) -> Mixed:
        return unmixed(given)
