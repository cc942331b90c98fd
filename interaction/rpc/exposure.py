"""A server that strangers reach, and that asks them for nothing: what is said of it, or that it does not start."""

from __future__ import annotations

import logging
import os

from interaction.address import is_loopback, join_host
from interaction.config import ServiceOptions
from interaction.secret import HOW_TO_MAKE
from interaction.text import one_line

VARIABLE = "INTERACTION_INSECURE"
REFUSE = "refuse"
BY_SECRET = f"INTERACTION_SECRET in the environment of both sides ({HOW_TO_MAKE})"
READABLE = (
    "with a secret and without TLS: nobody without the secret is heard, but others on the way can read everything, and "
    "change what tasks and results hold; tls=TLS(...) on both sides keeps them out"
)


def check(options: ServiceOptions, name: str, exposed: str | None) -> None:
    """Raise RuntimeError for a server that is not to start. `exposed`: what strangers can do at it, and the remedy."""
    asked = os.environ.get(VARIABLE)
    if asked is None:
        return
    if asked != REFUSE:
        raise RuntimeError(
            f"{VARIABLE} is {asked!r:.40}: it may be {REFUSE!r}, by which no server starts that strangers reach "
            "and that asks them for nothing, or unset"
        )
    if exposed is not None and not is_loopback(options.host):
        raise RuntimeError(
            f"{name} would listen beyond this machine ({options.host}) {exposed}. "
            f"{VARIABLE}={REFUSE} in the environment is why it does not start"
        )


def tell(log: logging.Logger, options: ServiceOptions, name: str, port: int, exposed: str | None) -> None:
    """Say who can do what at a server that has started."""
    address = join_host(options.host, port)
    log.info("%s listens at %s", name, address)
    if is_loopback(options.host):
        return
    if exposed is not None:
        _warn_aloud(log, f"{name} listens beyond this machine ({address}) {exposed}")
    elif options.tls is None:
        log.info("%s listens beyond this machine (%s) %s", name, address, READABLE)


def _warn_aloud(log: logging.Logger, said: str) -> None:
    """A warning that nobody may miss: where an application's set-up has disabled the logger (`dictConfig` does that to
    all that were there before it, unless it is told not to) the root's handlers get it."""
    if not log.disabled:
        log.warning("%s", said, stacklevel=2)
        return
    file, line, function, _ = log.findCaller(stacklevel=2)
    record = log.makeRecord(log.name, logging.WARNING, file, line, "%s", (one_line(said),), None, function)
    if logging.root.isEnabledFor(logging.WARNING):
        logging.root.handle(record)
