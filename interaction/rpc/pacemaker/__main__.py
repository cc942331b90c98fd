"""Where the pacemaker's process begins. It is run by its path, without site and without the package's own `__init__`.

So a pacemaker that waits has read nothing of gRPC: it takes 10 MB.
"""

from __future__ import annotations

import os
import signal
import sys
from types import ModuleType


def main() -> None:
    """Wait, and beat when that is needed. It ends with its slave's process, and by no signal that can be ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    folder = os.path.dirname(os.path.abspath(__file__))
    for name in ("interaction.rpc", "interaction"):  # in the place of the real ones, which import gRPC
        folder = os.path.dirname(folder)
        package = ModuleType(name)
        package.__path__ = [folder]
        sys.modules[name] = package
    from interaction.rpc.pacemaker.wire import Wire, wait

    wire = Wire()
    try:
        wait(wire)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the slave's log is where it is told
        wire.say("failed", f"{type(error).__name__}: {error}"[:500])
    os._exit(1)


if __name__ == "__main__":
    main()
