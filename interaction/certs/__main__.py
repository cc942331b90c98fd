"""Certificates for a fleet that has none. `--help` says how."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

_USAGE = """\
Certificates that say who is a master and who a slave, for mutual TLS.

  python -m interaction.certs init certs       an authority, and the master's certificate
  python -m interaction.certs slave gpu-1      a slave's, in certs/slaves/gpu-1: copy that folder to its machine
  python -m interaction.certs renew certs      a new certificate in the place of the one there

Then Master(tls=TLS.from_folder("certs")), and on gpu-1 a Slave(tls=TLS.from_folder("gpu-1")). Keep certs/authority from
everybody: who has it, may be anybody. It is needed for new certificates alone, and may live on another machine.
"""


def main() -> int:
    """Do what the arguments say. Returns an exit code."""
    given = _arguments()
    try:
        sys.stdout.write(_run(given))
    except (ImportError, OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _run(given: argparse.Namespace) -> str:
    from interaction.certs import fleet

    if given.command == "init":
        folder = fleet.create(given.folder, given.cluster, given.name, given.host, given.days)
        return (
            f"{folder} is the master's: Master(tls=TLS.from_folder({str(folder)!r}))\n"
            f"{folder / 'authority'} signs new certificates: keep it from everybody\n"
            f"Next, for each slave: python -m interaction.certs slave NAME --in {folder}\n"
        )
    if given.command == "slave":
        folder = fleet.new_slave(given.folder, given.name, given.host, given.days)
        return (
            f"{folder} is the slave's: copy it to its machine, for nobody else to read, and there\n"
            f"Slave(tls=TLS.from_folder({folder.name!r}))\n"
        )
    folder = fleet.renew(given.folder, given.own, given.days)
    return f"{folder} has a new certificate: who runs with that folder reads it by itself, a copy has to be replaced\n"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m interaction.certs", description=_USAGE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    init = commands.add_parser("init", help="an authority, and the master's certificate")
    init.add_argument("folder", type=Path, help="where to")
    init.add_argument("--cluster", default="interaction", help="how the fleet is called, as a domain name; %(default)s")
    init.add_argument("--name", default="master", help="how the master is called; %(default)s")
    slave = commands.add_parser("slave", help="a slave's certificate")
    slave.add_argument("name", help="how it is called")
    renew = commands.add_parser("renew", help="a new certificate in the place of one that ends")
    renew.add_argument("own", type=Path, help="the folder of the master, or of a slave")
    slave.add_argument("--in", dest="folder", type=Path, default=Path("certs"), help="init's folder; %(default)s")
    renew.add_argument("--in", dest="folder", type=Path, help="init's folder; the one that OWN is in, or certs")
    for each in (init, slave):
        each.add_argument("--host", action="append", default=[], help="a host name or address of it; may be repeated")
    for each in (init, slave, renew):
        each.add_argument("--days", type=int, default=397, help="how long it is good; %(default)s")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
