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
    """Data over the message limit.

    Attributes:
        size: the size of the data on the wire, in bytes.
        limit: what the smaller of both sides' limits leaves for data, in bytes.
    """

    def __init__(self, path: str, size: int, limit: int) -> None:
        super().__init__(path, f"{size:,} bytes are more than the message limit allows ({limit:,} bytes)")
        self.size = size
        self.limit = limit

    def __reduce__(self) -> tuple[type[PayloadTooLarge], tuple[str, int, int]]:
        return type(self), (self.path, self.size, self.limit)
