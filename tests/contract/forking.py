"""Programs that fork while a master and a slave of theirs are at work, each in a process of its own.

python -m tests.contract.forking PROGRAM ARGUMENTS
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any
from unittest.mock import patch

import interaction
from interaction import Master, RequestException, SlavePool, aio
from tests.contract.fork_scene import PATIENCE, Quick, at_work, end_of, in_child


def exits(number: str, how: str) -> None:
    """Fork so many children that do something of their own, and leave as told. Prints how many ended how."""
    ends: Counter[str] = Counter()
    with at_work():
        for _ in range(int(number)):
            child = os.fork()
            if child == 0:
                numbers = [bytearray(1000) for _ in range(1000)]
                time.sleep(0.001)
                del numbers
                gc.collect()
                if how == "_exit":
                    os._exit(0)
                sys.exit(0)  # all the way through the blocks, and the interpreter's end
            ends[end_of(child)] += 1
    print(dict(ends))


def keeps() -> None:
    """Fork a child, and print which of the user's descriptors it has no more, and how many TCP sockets beside these."""
    with at_work() as scene, ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        dialled = stack.enter_context(socket.create_connection(listener.getsockname()))
        dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5_000)
        taken = stack.enter_context(listener.accept()[0])
        taken.setblocking(False)
        to_us = stack.enter_context(socket.create_connection(("127.0.0.1", scene.slave.port)))
        import grpc  # not before interaction

        by_grpc = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{scene.slave.port}"))
        before = tcp_sockets(scene.slave.port)
        grpc.channel_ready_future(by_grpc).result(PATIENCE)
        (by_grpc_there,) = tcp_sockets(scene.slave.port) - before
        pair = [stack.enter_context(end) for end in socket.socketpair()]
        datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        file = stack.enter_context(open(__file__))
        poll = stack.enter_context(select.epoll())
        things: list[Any] = [listener, dialled, taken, to_us, *pair, datagrams, file, poll]
        users = {thing.fileno() for thing in things} | {by_grpc_there, *os.pipe()}
        links = {descriptor: link_of(descriptor) for descriptor in users}

        def look() -> str:
            gone = [link for descriptor, link in links.items() if link_of(descriptor) != link]
            return f"gone: {len(gone)}, of others: {len(tcp_sockets() - users)}"

        print(in_child(look))


def blocks() -> None:
    """Fork a child, where new sockets have a time limit, and print whether one that had none before has none still."""
    with at_work(), ExitStack() as stack:
        for end in (pair := socket.socketpair()):
            stack.enter_context(end)
        socket.setdefaulttimeout(5.0)
        print(in_child(lambda: str(socket.getdefaulttimeout())), os.get_blocking(pair[0].fileno()))


def leaves() -> None:
    """Fork a child that ends by sys.exit(), beside a slave whose tasks have a process. Prints how it ends."""
    with Quick("127.0.0.1", 0, isolation="process", slots=2):
        child = os.fork()
        if child == 0:
            sys.exit(0)
        print(end_of(child))


def link_of(descriptor: int) -> str:
    """What it leads to."""
    return os.readlink(f"/proc/self/fd/{descriptor}")


def tcp_sockets(peer: int | None = None) -> set[int]:
    """The descriptors of this process that are TCP sockets, of whomever, or those that lead to that port."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # it is no socket, or not connected, or that of the listing
            looked_at = socket.socket(fileno=int(name))
            try:
                tcp = looked_at.family in (socket.AF_INET, socket.AF_INET6) and looked_at.type == socket.SOCK_STREAM
                if tcp and (peer is None or looked_at.getpeername()[1] == peer):
                    found.add(int(name))
            finally:
                looked_at.detach()
    return found


def refuses() -> None:
    """Fork a child for each call on what its parent has started. Prints what each is told."""
    with at_work() as scene, SlavePool(scene.master) as pool:
        master, slave, connection = scene.master, scene.slave, scene.connection
        other = master.new_connection("other", "127.0.0.1", slave.port)
        begun = connection.new_task({"wait": True}).start()
        waited_for = pool.submit({"wait": True})
        calls: dict[str, Callable[[], object]] = {
            **{f"Master.{name}": getattr(master, name) for name in ("shutdown", "join", "close", "ping")},
            **{f"Slave.{name}": getattr(slave, name) for name in ("shutdown", "join", "close", "ping")},
            "Slave.drain": slave.drain,
            "Master.wait_until_resumed": master.wait_until_resumed,
            "Master.start, another": Master("127.0.0.1", 0).start,
            "Slave.start, another": Quick("127.0.0.1", 0).start,
            "aio.Master.start, another": lambda: asyncio.run(aio.Master("127.0.0.1", 0).start()),
            "SlaveConnectionProxy.connect": other.connect,
            "SlaveConnectionProxy.disconnect": connection.disconnect,
            "SlaveConnectionProxy.close": connection.close,
            "Task.start": connection.new_task().start,
            "Task.join": begun.join,
            "SlavePool": lambda: SlavePool(master),
            "SlavePool.submit": pool.submit,
            "SlavePool.map": lambda: list(pool.map([{}])),
            "SlavePool.close": pool.close,
            "PoolFuture.result": waited_for.result,
            "PoolFuture.exception": waited_for.exception,
        }
        told = {name: in_child(lambda call=call: f"returned {call()!r}") for name, call in calls.items()}  # type: ignore[misc]
        Quick.go_on.set()
    print(json.dumps(told))


def again(kind: str, pause: str) -> None:
    """Run everything, close it, and fork a child that does the same, twice. Prints how each child ends."""
    for _ in range(2):
        globals()[f"all_{kind}"]()
        time.sleep(float(pause))
        print(in_child(globals()[f"all_{kind}"]))


def all_plain() -> str:
    """All from start to end, with the plain facade."""
    with at_work() as scene:
        return repr(scene.connection.new_task().start().join(PATIENCE).status.name)


def all_aio() -> str:
    """All from start to end, with asyncio."""

    async def work() -> str:
        with Quick("127.0.0.1", 0) as slave:
            async with (
                aio.Master("127.0.0.1", 0) as master,
                master.new_connection("slave", "127.0.0.1", slave.port) as connection,
            ):
                task = connection.new_task()
                await task.start()
                return repr((await task.join(PATIENCE)).status.name)

    return asyncio.run(work())


async def ended(way: str, facade: Any, stack: ExitStack) -> list[object]:
    """What is left in the user's hands, when all of it is closed."""
    slave, master = Quick("127.0.0.1", 0, fast_road=way != "by calls"), facade.Master("127.0.0.1", 0, request_retries=0)
    slave.start()
    stack.callback(slave.close)
    await done(master.start())
    far = distant(stack) if way == "lost" else None
    port = slave.port if far is None else far[1]
    connection = master.new_connection("slave", "127.0.0.1", port)
    kept: list[object] = [slave, master, connection]
    if way == "nobody there":
        await asyncio.to_thread(slave.close)
        try:
            await done(connection.connect())
        except RequestException as error:
            kept.append(error)
    else:
        await done(connection.connect())
        over, begun = connection.new_task(), connection.new_task({"seconds": 0.2})
        kept += [over, begun]
        await done(over.start())
        await done(over.join(PATIENCE))
        await done(begun.start())
    if way == "by a pool":
        pool = facade.SlavePool(master)
        kept += [pool, *(pool.submit({}) for _ in range(10))]
        await done(pool.close())
    elif far is not None:
        far[0].kill()
        while connection.is_connected:
            await asyncio.sleep(0.002)
    ends: dict[str, list[Callable[[], object]]] = {
        "disconnected": [connection.disconnect],
        "disconnected and connected": [connection.disconnect, connection.connect],
        "connection closed": [connection.close],
        "drained": [partial(asyncio.to_thread, slave.drain)],
        "slave shut down": [partial(asyncio.to_thread, slave.shutdown)],
    }
    for end in ends.get(way, []):
        await done(end())
    await done(master.shutdown())
    await done(master.join())
    await asyncio.to_thread(slave.close)
    return kept


async def done(it: Any) -> object:
    """What a call has come to, by either facade."""
    return await it if inspect.isawaitable(it) else it


def distant(stack: ExitStack) -> tuple[subprocess.Popen[str], int]:
    """A slave in a process of its own, and its port."""
    command = [sys.executable, "-m", "tests.contract.forking", "serves", "0", "--no-pacemaker"]
    process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    stack.callback(process.kill)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def serves(channel: str, *options: str) -> None:
    """A slave, until the end of its input. Prints its port."""
    isolation = "process" if "--isolated" in options else "thread"
    alone = "--no-pacemaker" in options
    with Quick("127.0.0.1", 0, channel=int(channel), isolation=isolation, pacemaker=not alone) as slave:
        print(slave.port, flush=True)
        sys.stdin.read()


def held(way: str, kind: str) -> None:
    """Have everything come to its end in that way, hold on to all of it, and fork a child that runs everything anew."""
    with ExitStack() as stack:
        kept = asyncio.run(ended(way, aio if kind == "aio" else interaction, stack))
    print(in_child(all_plain), len(kept))


def masters() -> None:
    """A master with a slave, that forks a child. Prints the port and the child."""
    with at_work() as scene:
        if os.fork() == 0:
            print(scene.master.port, os.getpid(), flush=True)  # it has let go by now
        time.sleep(60)


def races() -> None:
    """Fork a child that stays, at the moment at which the pacemaker is started. Prints what came first."""
    order: list[str] = []

    def fork() -> None:
        child = os.fork()
        if child == 0:
            time.sleep(PATIENCE)
            os._exit(0)
        order.append("forked")
        children.append(child)

    class Popen(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            forker.start()
            time.sleep(0.5)  # that nothing happens is what is looked for
            super().__init__(*args, **options)
            order.append("started")

    children: list[int] = []
    forker = threading.Thread(target=fork)
    with patch("interaction.slave.pacemaker.subprocess.Popen", Popen), at_work() as scene:
        scene.connection.new_task().start().join(PATIENCE)
        forker.join()
    os.kill(children[0], signal.SIGKILL)
    os.waitpid(children[0], 0)
    print(*order)


def main() -> None:
    """Run the program of that name."""
    globals()[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
