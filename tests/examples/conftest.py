"""Makes the examples importable by the names that they have for somebody who copies them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "examples"))
