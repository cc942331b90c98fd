"""Natural batching: a message takes what has queued up since the last one, until it is full."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

FULL = 1024 * 1024  # bytes after which a message is full: what comes next does not wait long behind it
LARGEST = 4 * 1024 * 1024  # bytes; what is larger goes by a call of its own, beside the stream
_FRAME = 64  # bytes that an id and its fields take beside what is counted

T = TypeVar("T")


class Queue(Generic[T]):
    """What is to go out, in order. `limit` is the longest message in bytes, without its envelope."""

    def __init__(self, limit: int) -> None:
        self._limit = min(limit, FULL)
        self._largest = min(limit, LARGEST)
        self._items: deque[tuple[int, T]] = deque()
        self.size = 0  # bytes of all of them

    def __len__(self) -> int:
        return len(self._items)

    def takes(self, size: int) -> bool:
        """Whether something of that many bytes may go by the stream."""
        return size <= self._largest

    def put(self, size: int, item: T) -> None:
        """Something of that many bytes is to go out."""
        self._items.append((size + _FRAME, item))
        self.size += size + _FRAME

    @property
    def limit(self) -> int:
        """How many bytes a message takes that is full."""
        return self._limit

    def take(self, beside: int = 0) -> list[T]:
        """The content of the next message: no more than fit, and at least one item where there is any.

        `beside`: what else is in the message, in bytes. An item that does not fit beside it waits for the next one.
        """
        taken: list[T] = []
        total = beside
        while self._items:
            total += self._items[0][0]
            if total > self._limit and (taken or beside):
                break
            size, item = self._items.popleft()
            self.size -= size
            taken.append(item)
        return taken

    def clear(self) -> None:
        """Nothing of it is to go out."""
        self._items.clear()
        self.size = 0
