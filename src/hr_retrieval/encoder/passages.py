"""Where a long text is cut, so that an encoder reads all of it, a passage at a time."""

from collections.abc import Sequence

from tokenizers import Tokenizer

from hr_retrieval.errors import UserError

Span = tuple[int, int]
# A passage begins and ends with a whole word, where one begins or ends so near.
_WORD = 30


class Cutter:
    """Cuts texts into passages: places of a passage's first letter and behind its last one, in order; at least one.

    Together they hold every word of a text: a passage is as long as the encoder reads, and takes up
    `overlap` tokens of the one before it. A text that the encoder reads whole is one passage.

    Args:
        tokenizer: of the encoder; a copy, since it is changed.
        prefix: what is put around each passage; it takes its tokens.
        max_length: tokens of a passage, prefix and special tokens included.
        overlap: tokens.

    Raises:
        UserError: `overlap` leaves no room for anything new.
    """

    def __init__(self, tokenizer: Tokenizer, prefix: str, max_length: int, overlap: int) -> None:
        special = tokenizer.num_special_tokens_to_add(False)
        taken = len(tokenizer.encode(prefix).ids) if prefix else special
        room = max_length - taken
        if not 0 <= overlap <= room // 2:
            raise UserError(
                f"an overlap of passages from 0 to {max(room // 2, 0)} tokens, half of what a passage holds",
                str(overlap),
                "Lower overlap=, or set overlap=null, which reads the beginning of each text only.",
            )
        tokenizer.enable_truncation(max_length - (taken - special), stride=overlap)
        tokenizer.no_padding()
        self._tokenizer = tokenizer

    def __call__(self, texts: Sequence[str]) -> list[list[Span]]:
        """The passages of each text."""
        found = []
        for text, encoding in zip(texts, self._tokenizer.encode_batch(list(texts)), strict=True):
            pieces = [_span(piece.offsets, piece.special_tokens_mask) for piece in (encoding, *encoding.overflowing)]
            # Truncation from the left gives the last piece first.
            own = sorted({piece for piece in pieces if piece is not None})
            found.append(_whole_words(text, own) if len(own) > 1 else [(0, len(text))])
        return found


def _span(offsets: Sequence[Span], special: Sequence[int]) -> Span | None:
    own = [span for span, is_special in zip(offsets, special, strict=True) if not is_special]
    return (own[0][0], own[-1][1]) if own else None


def _whole_words(text: str, pieces: list[Span]) -> list[Span]:
    """The same, but no word is cut whose rest the neighbour has, and nothing between two of them is left out."""
    found: list[Span] = []
    for number, (begin, end) in enumerate(pieces):
        if number:
            begin = min(begin, found[-1][1])
            word = begin
            while word and not text[word - 1].isspace():
                word -= 1
            begin = word if word > found[-1][0] and begin - word <= _WORD else begin
        found.append((begin if number else 0, end if number + 1 < len(pieces) else len(text)))
    return found
