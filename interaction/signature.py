"""The metadata `signature` of one call, for grpcurl and other tools: `python -m interaction.signature --help`.

::

    export TOKEN=...
    grpcurl -expand-headers -H 'channel: 7' -H 'token: ${TOKEN}' -H "$(python -m interaction.signature --channel 7 \\
        --method NewTask --incarnation $INCARNATION)" -d ... localhost:7236 interaction.v1.SlaveService/NewTask

The secret comes from the environment alone, and a token may come from there: everybody on a host can read what stands
on a command line.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from decimal import Decimal

from interaction.core.token import is_incarnation, is_token
from interaction.rpc.convert import MAX_LEASE, MIN_LEASE
from interaction.rpc.signing import Signer
from interaction.secret import FILE_VARIABLE, HOW_TO_MAKE, VARIABLE, secret_of

OF_SLAVES = ("Connect", "Disconnect", "NewTask", "Work", "CancelTask")
OF_MASTERS = ("Heartbeat", "ReportResult")
_GIVEN_BY = "TOKEN"  # a variable of the environment
_INPUT = "-"
_DURATION = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,9})?)s?")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the header of a call to standard output: a signature is good for one call, within five minutes."""
    parser = argparse.ArgumentParser("python -m interaction.signature", description=main.__doc__)
    parser.add_argument("--method", required=True, choices=(*OF_SLAVES, *OF_MASTERS))
    parser.add_argument("--token", help=f"as in the metadata `token`; else ${_GIVEN_BY}; -: standard input")
    parser.add_argument("--channel", type=int, default=0, help="as in the metadata `channel`; 0 unless it is given")
    parser.add_argument("--incarnation", help="in calls to a slave: its own, which SlaveService/Ping tells")
    parser.add_argument("--previous-token", help="in Connect, to resume: as in the metadata; -: standard input")
    parser.add_argument("--lease", type=_nanoseconds, help="in Connect: the lease of the message: 10s, or 10")
    parser.add_argument("--address", help="in Connect: the master_address of the message")
    given = parser.parse_args(arguments)
    try:
        header = header_of(given)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    sys.stdout.write(f"{header}\n")


def header_of(given: argparse.Namespace) -> str:
    """`signature: ...`. Raises ValueError for what can't be signed, and what `secret_of` does."""
    secret = secret_of(None)
    if secret is None:
        raise ValueError(f"there is no secret: set {VARIABLE} or {FILE_VARIABLE} in the environment; {HOW_TO_MAKE}")
    token, previous = _token("--token", given.token or os.environ.get(_GIVEN_BY)), None
    if given.previous_token is not None:
        previous = _token("--previous-token", given.previous_token)
    to_slave, connect = given.method in OF_SLAVES, given.method == "Connect"
    if to_slave and not is_incarnation(given.incarnation or ""):
        raise ValueError(f"{given.method} needs --incarnation, 32 of 0-9 and a-f: SlaveService/Ping tells the slave's")
    if connect and (given.lease is None or given.address is None):
        raise ValueError("Connect needs --lease and --address, as in its message")
    terms = (given.lease, given.address) if connect else None
    slave = given.incarnation if to_slave else ""
    path = f"/interaction.v1.{'SlaveService' if to_slave else 'MasterService'}/{given.method}"
    signer = Signer(given.channel, secret)
    name, signature = signer.metadata(path, token, previous, slave=slave, terms=terms)[-1]
    return f"{name}: {signature}"


def _token(name: str, given: str | None) -> str:
    token = sys.stdin.readline().strip() if given == _INPUT else given
    if not token:
        raise ValueError(f"there is no token: set {_GIVEN_BY} in the environment, or give {name} - and a line of input")
    if not is_token(token):
        raise ValueError(f"{name}: a token is 32 to 128 of 0-9, A-Z, a-z, _ and -; this has {len(token)} characters")
    return token


def _nanoseconds(text: str) -> int:
    """A lease, as in a message in JSON (`10s`) or without its unit."""
    form = _DURATION.fullmatch(text)
    seconds = Decimal(form[1]) if form else None
    if seconds is None or not Decimal(str(MIN_LEASE)) <= seconds <= Decimal(MAX_LEASE):
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is no lease: {MIN_LEASE} to {MAX_LEASE:.0f} seconds are expected, such as 10s or 10"
        )
    return int(seconds * 10**9)


if __name__ == "__main__":
    main()
