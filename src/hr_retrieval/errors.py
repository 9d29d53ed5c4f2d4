"""The one error for bad input: what was expected, what came, and what to do."""


class UserError(Exception):
    """Input that a user can mend.

    Args:
        expected: what would have been right, as a noun phrase.
        got: what came instead, naming the file, column or value.
        remedy: a sentence that says what to do next.
    """

    def __init__(self, expected: str, got: str, remedy: str) -> None:
        self.expected, self.got, self.remedy = expected, got, remedy
        super().__init__(f"Expected {expected}; got {got}. {remedy}")

    def __reduce__(self) -> tuple[type["UserError"], tuple[str, str, str]]:
        # Loader workers and sweep launchers send exceptions between processes.
        return type(self), (self.expected, self.got, self.remedy)


def said(error: BaseException) -> str:
    """The first line of what an error of a library says, without its full stop; its class where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:300].rstrip(".") if lines else type(error).__name__
