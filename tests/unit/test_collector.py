"""The collector that large texts are parsed without is never left off, and never switched on for somebody else."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator

import pytest

from interaction.rpc import collector
from interaction.rpc.collector import without_collector


@pytest.fixture(autouse=True)
def switched_on() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def elsewhere(work: Callable[[], object]) -> object:
    """What comes of it on a thread that is not the main one: a value, or what it raised."""
    told: list[object] = []

    def call() -> None:
        try:
            told.append(work())
        except BaseException as error:  # noqa: BLE001 - told
            told.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return told[0]


def is_on(text: str) -> bool:
    return gc.isenabled()


def test_it_is_off_while_a_text_is_parsed_and_on_again() -> None:
    assert elsewhere(lambda: without_collector(is_on, "")) is False
    assert gc.isenabled()


@pytest.mark.parametrize("error", [ValueError, MemoryError, RecursionError, KeyboardInterrupt, SystemExit])
def test_it_is_on_again_whatever_the_parse_raises(error: type[BaseException]) -> None:
    def fail(text: str) -> None:
        raise error(text)

    assert isinstance(elsewhere(lambda: without_collector(fail, "x")), error)
    assert gc.isenabled()
    assert elsewhere(lambda: without_collector(is_on, "")) is False  # and may be off again


def test_it_stays_off_where_it_was_off_before() -> None:
    gc.disable()
    assert elsewhere(lambda: without_collector(is_on, "")) is False
    assert not gc.isenabled()


def test_the_main_thread_on_which_signals_are_raised_leaves_it_alone() -> None:
    assert without_collector(is_on, "") is True


def test_a_second_parse_meanwhile_neither_waits_nor_switches_it_on_too_early() -> None:
    def outer(text: str) -> tuple[object, bool]:
        return elsewhere(lambda: without_collector(is_on, "")), gc.isenabled()

    assert elsewhere(lambda: without_collector(outer, "")) == (False, False)
    assert gc.isenabled()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_that_is_forked_meanwhile_has_it_on() -> None:
    def fork(text: str) -> int:
        child = os.fork()
        if not child:
            ended = 1
            try:
                ended = 0 if gc.isenabled() and not collector._switching.locked() else 2
            finally:
                os._exit(ended)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert elsewhere(lambda: without_collector(fork, "")) == 0
    assert gc.isenabled()
