"""Makes the package of tests/kind importable, as tests/kind/cluster.sh does."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

for folder in ("scripts", "tests/kind"):
    if str(ROOT / folder) not in sys.path:
        sys.path.append(str(ROOT / folder))
