"""What runs in the middle of another call, on the same thread: a signal handler, a `__del__`. It may call anything."""

from __future__ import annotations

import _thread
import gc
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from interaction import SlavePool
from interaction.rpc.facade import Facade
from tests.contract.conftest import MakeMaster, MakeSlave, Worker
from tests.contract.interrupting import at_line
from tests.contract.test_interrupts import (
    CALLS,
    DATA,
    SUM,
    WAIT,
    Scene,
    scene,
    stack_of_pools,
)

__all__ = ["scene", "stack_of_pools"]  # fixtures

pytestmark = pytest.mark.timeout(120)
SECONDS = 3.0  # for which real signals come


def call_everything(scene: Scene) -> None:
    """What users may call from a signal handler: all but what ends the master that the interrupted call needs."""
    future = scene.pool.submit(DATA)
    future.add_done_callback(lambda _: None)
    other = scene.pool.submit(DATA)
    other.cancel()
    task = scene.connection.new_task(DATA).on_complete(lambda *_: None)
    assert task.start().join(WAIT).result == SUM
    task.on_fail(lambda *_: None)
    assert future.result(WAIT) == SUM
    scene.master.ping()  # where the machine is busy it may come too late
    assert scene.master.task(task.id) is task
    scene.master.tasks()
    pool = SlavePool(scene.master)
    pool.submit(DATA)
    pool.close(wait=False)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_a_handler_may_call_anything_in_the_middle_of_anything(call: Callable[[Scene], None], scene: Scene) -> None:
    number = 1
    while at_line(number, lambda: call_everything(scene), lambda: call(scene)) >= number:
        scene.tasks.clear()  # which the master looks through
        number += 1
    assert number > 10
    scene.check()


@pytest.mark.parametrize("kind", ["a master", "a slave", "a connection"])
def test_a_handler_may_call_anything_as_something_starts_and_ends(
    kind: str, scene: Scene, make_slave: MakeSlave, make_master: MakeMaster
) -> None:
    other: Worker = make_slave()

    def call() -> None:
        if kind == "a connection":
            with scene.master.new_connection("second", "127.0.0.1", other.port):
                pass
        else:
            service: Facade = make_master() if kind == "a master" else make_slave()
            service.close()

    number = 1
    while at_line(number, lambda: call_everything(scene), call) >= number:
        number += 7  # of its many lines some, others each time that something is added
    scene.check()


@contextmanager
def signals(handler: Callable[[], object]) -> Iterator[list[int]]:
    """Real signals, one after another, at any moment."""
    count = [0]

    def handle(number: int, frame: object) -> None:
        count[0] += 1
        handler()

    before = signal.signal(signal.SIGUSR1, handle)
    over = threading.Event()

    def send() -> None:
        draw = random.Random(1)
        while not over.wait(draw.uniform(0.0005, 0.005)):
            os.kill(os.getpid(), signal.SIGUSR1)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield count
    finally:
        over.set()
        sender.join(WAIT)
        signal.signal(signal.SIGUSR1, before)


def go_on_for(seconds: float, call: Callable[[], object]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        call()


def test_real_signals_hang_nothing(scene: Scene) -> None:
    at_work = [False]

    def handler() -> None:
        if not at_work[0]:  # a signal that comes in the handler has nothing to add
            at_work[0] = True
            call_everything(scene)
            at_work[0] = False

    with signals(handler) as count:
        for call in CALLS:
            go_on_for(SECONDS / len(CALLS), lambda call=call: call(scene))  # type: ignore[misc]
    assert count[0] > 20
    scene.check()


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_real_interrupts_hang_nothing(scene: Scene) -> None:
    caught = 0
    armed = [False]

    def interrupt() -> None:
        if armed[0]:
            raise KeyboardInterrupt

    with signals(interrupt):
        for call in CALLS:
            end = time.monotonic() + SECONDS / len(CALLS)
            while time.monotonic() < end:
                try:
                    armed[0] = True
                    call(scene)
                    armed[0] = False
                except KeyboardInterrupt:
                    armed[0] = False
                    caught += 1
                scene.check()
    assert caught > 20
    scene.check()


def test_the_garbage_collector_may_call_anything_in_the_middle_of_anything(scene: Scene) -> None:
    ran = [0]
    errors: list[BaseException] = []

    class Garbage:
        def __init__(self) -> None:
            self.itself = self  # only the collector finds it

        def __del__(self) -> None:
            ran[0] += 1
            try:
                call_everything(scene)
            except RuntimeError as error:  # on the loop's own thread nothing can be waited for
                if "the loop" not in str(error):
                    errors.append(error)
            except BaseException as error:  # noqa: BLE001 - told below
                errors.append(error)

    threshold = gc.get_threshold()
    gc.set_threshold(400)
    try:
        for call in CALLS:

            def litter(call: Callable[[Scene], None] = call) -> None:
                Garbage()
                call(scene)

            go_on_for(SECONDS / len(CALLS), litter)
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert not errors
    assert ran[0] > 10
    scene.check()


def test_an_interrupt_of_the_main_thread_by_another_thread_is_one_too(scene: Scene) -> None:
    def call() -> None:
        _thread.interrupt_main()
        scene.pool.submit(DATA).result(WAIT)

    with pytest.raises(KeyboardInterrupt):
        go_on_for(WAIT, call)
    scene.check()
