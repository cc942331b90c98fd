"""A slave whose results and exceptions break when they are looked at: of a module, so that a child process has it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy

from interaction import ConnectionRefuse, DisconnectionRefuse, Slave, TaskFail, TaskRefuse


class Lazy(Mapping[str, Any]):
    """Looks up what it holds when it is asked, and raises this instead."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __getitem__(self, key: str) -> Any:
        raise self._error

    def __iter__(self) -> Iterator[str]:
        return iter(["weights"])

    def __len__(self) -> int:
        return 1


class Filling(dict[str, Any]):
    """As a dict to which a thread adds at that very moment."""

    def items(self) -> Any:
        for number in range(10):
            yield str(number), number
            if number == 5:
                raise RuntimeError("dictionary changed size during iteration")


class Full(numpy.ndarray[Any, Any]):
    """An array that there is no memory left to copy."""

    def tobytes(self, order: Any = "C") -> bytes:
        raise MemoryError("no memory for 8 TiB")


class Quit(BaseException):
    """What `except Exception` does not catch."""


class Mute(Exception):
    """Raises where it is to say what it is."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    def __str__(self) -> str:
        raise self._error

    __repr__ = __str__


class Sealed(TaskFail):
    """A declared failure whose result can't be had."""

    @property
    def result(self) -> Any:
        raise OSError("the file is closed")

    @result.setter
    def result(self, result: Any) -> None: ...


class Unsaid(TaskFail):
    """A declared failure whose message can't be had."""

    def __init__(self) -> None:
        super().__init__({"declared": True})
        self.message = Mute(Quit("also not"))  # type: ignore[assignment]


def released() -> memoryview:
    view = memoryview(b"frames")
    view.release()
    return view


def odd_syntax_error() -> SyntaxError:
    return SyntaxError("bad", ("t.html", 3, 5, 12345))  # type: ignore[arg-type]


RESULTS: dict[str, Callable[[], Any]] = {
    "a released memoryview": lambda: released(),
    "a mapping that changes": lambda: Filling(a=1, b=b"2"),
    "a lazy mapping": lambda: Lazy(ValueError("I/O operation on closed file")),
    "a lazy mapping, and no Exception": lambda: {"inside": [Lazy(Quit("the pool is gone"))]},
    "an array without memory": lambda: {"frames": numpy.zeros(3).view(Full)},
    "an exit": lambda: Lazy(SystemExit(3)),
}
ERRORS: dict[str, Callable[[], BaseException]] = {
    "a template's SyntaxError": odd_syntax_error,
    "no text": lambda: Mute(ValueError("no text")),
    "no text, and no Exception": lambda: Mute(Quit("no text")),
    "no Exception": lambda: Quit("enough"),
    "no Exception and no text": lambda: type("Silent", (Quit,), {"__str__": lambda self: 1 // 0})(),
    "an exit": lambda: SystemExit(3),
    "an interrupt": lambda: KeyboardInterrupt(),
    "half a character": lambda: ValueError("\ud83d\ude00 and \udcff"),
    "a long one": lambda: ValueError("x" * 1_000_000),
    "no result": lambda: Sealed(),
    "no message": lambda: Unsaid(),
}
REFUSED: dict[str, Callable[[], Mapping[str, Any]]] = {
    "data that can't be read": lambda: Lazy(ValueError("I/O operation on closed file")),
    "data, and no Exception": lambda: Lazy(Quit("the pool is gone")),
}


def raised(refuse: type[ConnectionRefuse | DisconnectionRefuse | TaskRefuse], what: str) -> BaseException:
    return refuse(REFUSED[what]()) if what in REFUSED else ERRORS[what]()


class Broken(Slave):
    """Gives and raises what its data name."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.threads: list[int] = []

    def _before_connection(self, data: Mapping[str, Any]) -> Any:
        if "refuse" in data:
            raise raised(ConnectionRefuse, data["refuse"])
        return Lazy(Quit("not at your place")) if "lazy" in data else None

    def _before_disconnection(self, data: Mapping[str, Any]) -> Any:
        if "refuse" in data:
            raise raised(DisconnectionRefuse, data["refuse"])

    def _before_task(self, data: Mapping[str, Any]) -> Any:
        self.threads.append(threading.get_ident())
        if "refuse" in data:
            raise raised(TaskRefuse, data["refuse"])
        return RESULTS[data["answer"]]() if "answer" in data else None

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        if "raise" in task:
            raise ERRORS[task["raise"]]()
        return RESULTS[task["give"]]() if "give" in task else {"well": True}
