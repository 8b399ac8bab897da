"""How all tests run: what is generated has no deadline, and some tests never run side by side.

xdist has a mark for the latter (`--dist=loadgroup`), `xdist_group`, which it writes into the ids of tests; pytest 9.2
makes ids in another way, and the mark has no effect. So the schedule is told by folder.
"""

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadGroupScheduling

# By itself Hypothesis fails an example that takes longer than 200 ms, or values that are slow to draw. That tells
# something of a busy machine, and nothing of the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

ALONE = "tests/local/"
"""Slices of the same names want the same ports for their listeners, and a test checks that they get them."""


class Schedule(LoadGroupScheduling):
    def _split_scope(self, nodeid: str) -> str:
        """Tests of one scope go to one worker, one after the other."""
        return ALONE if nodeid.startswith(ALONE) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Schedule | None:
    """None is xdist's own choice."""
    return Schedule(config, log) if config.getvalue("dist") == "loadgroup" else None
