"""The metadata `signature` of one call, for grpcurl and other tools: `python -m interaction.signature --help`.

::

    grpcurl -H 'channel: 7' -H "token: $TOKEN" -H "$(python -m interaction.signature --channel 7 --token $TOKEN \\
        --method NewTask --incarnation $INCARNATION)" -d ... localhost:7236 interaction.v1.SlaveService/NewTask

The secret comes from the environment alone: everybody on a host can read what stands on a command line.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from interaction.core.token import is_incarnation, is_token
from interaction.rpc.signing import Signer
from interaction.secret import FILE_VARIABLE, HOW_TO_MAKE, VARIABLE, secret_of

OF_SLAVES = ("Connect", "Disconnect", "NewTask", "Work", "CancelTask")
OF_MASTERS = ("Heartbeat", "ReportResult")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the header of a call to standard output: a signature is good for one call, within five minutes."""
    parser = argparse.ArgumentParser("python -m interaction.signature", description=main.__doc__)
    parser.add_argument("--method", required=True, choices=(*OF_SLAVES, *OF_MASTERS))
    parser.add_argument("--token", required=True, help="as in the metadata `token`")
    parser.add_argument("--channel", type=int, default=0, help="as in the metadata `channel`; 0 unless it is given")
    parser.add_argument("--incarnation", help="in calls to a slave: its own, which SlaveService/Ping tells")
    parser.add_argument("--previous-token", help="in Connect, to resume: as in the metadata `previous-token`")
    parser.add_argument("--lease", type=float, help="in Connect: the lease of the message, in seconds")
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
    if not is_token(given.token) or not is_token(given.previous_token or given.token):
        raise ValueError("a token is 32 to 128 of 0-9, A-Z, a-z, _ and -")
    to_slave, connect = given.method in OF_SLAVES, given.method == "Connect"
    if to_slave and not is_incarnation(given.incarnation or ""):
        raise ValueError(f"{given.method} needs --incarnation, 32 of 0-9 and a-f: SlaveService/Ping tells the slave's")
    if connect and (given.lease is None or given.address is None):
        raise ValueError("Connect needs --lease and --address, as in its message")
    terms = (round(given.lease * 10**9), given.address) if connect else None
    slave = given.incarnation if to_slave else ""
    path = f"/interaction.v1.{'SlaveService' if to_slave else 'MasterService'}/{given.method}"
    signer = Signer(given.channel, secret)
    name, signature = signer.metadata(path, given.token, given.previous_token, slave=slave, terms=terms)[-1]
    return f"{name}: {signature}"


if __name__ == "__main__":
    main()
