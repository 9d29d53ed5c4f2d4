"""A piece of a text that tells who a person is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """Where it stands.

    Attributes:
        kind: what it is, one of `privacy.masker.KINDS`.
        begin: its first character.
        end: the character behind its last.
    """

    kind: str
    begin: int
    end: int
