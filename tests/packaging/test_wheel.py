"""The wheel: what is in it, and that it runs outside the checkout with nothing but its dependencies."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(600)  # an environment is made, and packages are installed

RUN = """
import pathlib, sys
import interaction
from interaction import Master, Slave
assert "site-packages" in interaction.__file__, interaction.__file__
assert "numpy" not in sys.modules
class Adder(Slave):
    def _process_task(self, task):
        return {"sum": task["a"] + task["b"]}
with Adder("127.0.0.1", 0, channel=7) as slave, Master("127.0.0.1", 0, channel=7) as master:
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        print(connection.new_task({"a": 1, "b": 2}).start().join(20).result, interaction.__version__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_the_contract_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "interaction/__init__.py",
        "interaction/py.typed",
        "interaction/v1/slave_service_pb2.pyi",
        "interaction/protos/interaction/v1/slave_service.proto",
        "interaction/protos/vectors/payload.json",
        "interaction/protos/vectors/signature.json",
    ):
        assert needed in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"interaction", "interaction_grpc"}  # and about it
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_runs_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True, cwd=tmp_path)
    done = subprocess.run([python, "-c", RUN], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("{'sum': 3} ")
