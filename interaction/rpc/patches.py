"""What libraries of green threads put in the place of Python's own threads, with which no loop of ours ever runs."""

from __future__ import annotations

import sys

_GEVENT = ("threading", "select", "queue", "subprocess")  # what may not be patched; sockets, time and the rest may


def check_unpatched(name: str) -> None:
    """Raise RuntimeError where a master or slave, of that name, would hang for ever, deaf to Ctrl-C."""
    gevent = sys.modules.get("gevent.monkey")
    patched = [] if gevent is None else [module for module in _GEVENT if gevent.is_module_patched(module)]
    if patched:
        raise RuntimeError(
            f"gevent has patched {', '.join(patched)}, and this {name} needs Python's own: call "
            "monkey.patch_all(thread=False, select=False, queue=False, subprocess=False), or start it in a process of "
            "its own that gevent does not patch"
        )
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        raise RuntimeError(
            f"eventlet has patched threads, and this {name} needs Python's own: call "
            "eventlet.monkey_patch(thread=False), or start it in a process of its own that eventlet does not patch"
        )
