"""Who runs the tests may have their own slaves and masters guarded by the environment: that's not for the tests'."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.installing import ROOT

SECRET = "a-secret-of-whoever-runs-the-tests-" + "9" * 10


@pytest.mark.parametrize(
    "exported",
    [
        {"INTERACTION_SECRET": SECRET},
        {"INTERACTION_SECRET": "short"},
        {"INTERACTION_SECRET_FILE": "/nonexistent"},
        {"INTERACTION_INSECURE": "nonsense"},
        {"INTERACTION_INSECURE": "refuse"},
    ],
    ids=str,
)
def test_what_is_exported_guards_no_slave_of_a_test(exported: dict[str, str]) -> None:
    told = (
        "import os, sys; import tests.conftest; from interaction.secret import secret_of;"
        "sys.exit(secret_of(None) is not None or any(name.startswith('INTERACTION_') for name in os.environ))"
    )
    done = subprocess.run([sys.executable, "-c", told], cwd=ROOT, env={**os.environ, **exported}, timeout=60)
    assert done.returncode == 0
