"""A network of its own: namespaces for a master and its slaves, a router between them, and cuts of the wire.

What is cut is dropped by the router, so neither side is told, as when a cable is pulled somewhere between them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack
from types import TracebackType

CUTS = ("to_slave", "to_master", "both", "unreachable", "link")


class NoNetwork(Exception):
    """This machine lets nobody make network namespaces; the message says why."""


def _ip(*arguments: str) -> None:
    told = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if told.returncode != 0:
        raise OSError(f"ip {' '.join(arguments)}: {told.stderr.strip()}")


class Network:
    """The master's namespace has number 0, the slaves' 1 to `slaves`. Use it with `with`: all is removed at the end.

    Raises NoNetwork where it can't be made.
    """

    def __init__(self, slaves: int) -> None:
        self._slaves = slaves
        self._prefix = f"ia{os.getpid()}"
        self._router = f"{self._prefix}r"
        self._stack = ExitStack()

    def namespace(self, number: int) -> str:
        return f"{self._prefix}n{number}"

    def address(self, number: int) -> str:
        return f"10.77.{number}.2"

    def __enter__(self) -> Network:
        if shutil.which("ip") is None:
            raise NoNetwork("`ip` (iproute2) is not there")
        if os.geteuid() != 0:
            raise NoNetwork("network namespaces need root")
        with ExitStack() as stack:
            try:
                self._make(self._router, stack)
                enable = "echo 1 > /proc/sys/net/ipv4/ip_forward"
                _ip("netns", "exec", self._router, "sh", "-c", enable)
                for number in range(self._slaves + 1):
                    self._attach(number, stack)
            except OSError as error:
                raise NoNetwork(str(error)) from None
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _make(self, name: str, stack: ExitStack) -> None:
        _ip("netns", "add", name)
        stack.callback(_ip, "netns", "del", name)  # its ends of the wires go with it
        _ip("-n", name, "link", "set", "lo", "up")

    def _attach(self, number: int, stack: ExitStack) -> None:
        node, near, far = self.namespace(number), f"r{number}", "eth0"
        self._make(node, stack)
        _ip("link", "add", near, "netns", self._router, "type", "veth", "peer", "name", far, "netns", node)
        _ip("-n", self._router, "addr", "add", f"10.77.{number}.1/24", "dev", near)
        _ip("-n", node, "addr", "add", f"{self.address(number)}/24", "dev", far)
        _ip("-n", self._router, "link", "set", near, "up")
        _ip("-n", node, "link", "set", far, "up")
        _ip("-n", node, "route", "add", "default", "via", f"10.77.{number}.1")

    def cut(self, number: int, how: str) -> None:
        """Cut the wire of a slave: one direction, both, both with a word from the router, or the link itself."""
        for change in self._changes(number, how):
            _ip("-n", self._router, *(part.replace("±", "add").replace("updown", "down") for part in change))

    def heal(self, number: int, how: str) -> None:
        """Undo that cut."""
        for change in self._changes(number, how):
            _ip("-n", self._router, *(part.replace("±", "del").replace("updown", "up") for part in change))

    def _changes(self, number: int, how: str) -> list[list[str]]:
        address = self.address(number)
        to_slave = ["route", "±", "blackhole", f"{address}/32"]
        to_master = ["rule", "±", "from", address, "blackhole"]
        return {
            "to_slave": [to_slave],
            "to_master": [to_master],
            "both": [to_slave, to_master],
            "unreachable": [
                ["route", "±", "unreachable", f"{address}/32"],
                ["rule", "±", "from", address, "unreachable"],
            ],
            "link": [["link", "set", f"r{number}", "updown"]],
        }[how]
