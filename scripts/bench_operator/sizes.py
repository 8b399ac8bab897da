"""How much is measured: what the command line of the benchmark may change."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    changes: int = 200
    rate: float = 400.0
    proxies: int = 1
    slices: int = 1000
    rest: float = 30.0
    """Seconds to look at an operator that has nothing to do."""
