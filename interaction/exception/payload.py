"""Data that can't be carried."""

from __future__ import annotations


class PayloadError(ValueError):
    """Data that can't be carried or read.

    Attributes:
        path: where in the data, such as ``data['frames'][3]``.
        problem: what is wrong there.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class PayloadTooLarge(PayloadError):
    """Data over the message limit, or whose JSON text is more than is read.

    Attributes:
        size: the size of the data on the wire, in bytes; where `problem` speaks of its JSON text, that of the text.
        limit: what the smaller of both sides' limits leaves for data, in bytes; likewise.
    """

    def __init__(self, path: str, size: int, limit: int, problem: str = "") -> None:
        told = problem or (
            f"{size:,} bytes are more than the message limit allows ({limit:,} bytes); "
            "send it in parts, or give both sides a larger `max_message_bytes`"
        )
        super().__init__(path, told)
        self.size = size
        self.limit = limit

    def __reduce__(self) -> tuple[type[PayloadTooLarge], tuple[str, int, int, str]]:
        return type(self), (self.path, self.size, self.limit, self.problem)
