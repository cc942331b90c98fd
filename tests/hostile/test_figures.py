"""What `scripts/hostile` measures is there to be measured."""

from __future__ import annotations

from importlib import import_module

import pytest

from tests.hostile.figures import FIGURES


@pytest.mark.parametrize("name", FIGURES)
def test_each_figure_has_a_module_that_measures_it(name: str) -> None:
    assert callable(import_module(f"tests.hostile.{name}").measure)
