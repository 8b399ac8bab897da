"""What a run will suffer, drawn from its seed before anything starts. PURE: the same seed is the same plan.

A seeded plan, not a hypothesis state machine: shrinking would repeat a run of half a minute hundreds of times, and what
a fault hits depends on the kernel's timing, so a smaller example that happens to pass or fail would prove nothing. What
a seed repeats is the plan and what clients ask; the interleaving is new each time, and that is wanted.
"""

import random
from dataclasses import dataclass

SERVICES = ("api-0", "api-1", "payments-0", "payments-1", "catalog-0", "worker-0", "worker-1")
STORES = ("postgres", "redis")
KINDS = {
    "kill": 6,  # SIGKILL, then a new process
    "freeze": 4,  # SIGSTOP, SIGCONT
    "terminate": 3,  # pg_terminate_backend on whoever is in a transaction, again and again
    "restart-postgres": 2,  # fast: connections are closed
    "crash-postgres": 2,  # immediate: as if it had crashed, the log is replayed
    "crash-redis": 2,  # SIGKILL: what had not reached the kernel is gone
    "forget-redis": 1,  # SIGKILL, and the last second of its file is gone too: the machine lost its power
    "poison": 2,  # a message nobody can settle
}


@dataclass(frozen=True, slots=True)
class Fault:
    """`hold` is in seconds: how long it lasts; `gap`: how long the shop is left alone afterwards."""

    kind: str
    target: str
    hold: float
    gap: float

    def __str__(self) -> str:
        return f"{self.kind} {self.target} {self.hold:.2f}s".replace("  ", " ")


def draw_plan(seed: int, faults: int) -> tuple[Fault, ...]:
    """Every kind is as likely as its weight, whatever came before."""
    dice = random.Random(seed)
    return tuple(_draw_fault(dice) for _ in range(faults))


def _draw_fault(dice: random.Random) -> Fault:
    kind = dice.choices(list(KINDS), weights=list(KINDS.values()))[0]
    target = {"kill": SERVICES, "freeze": SERVICES + STORES}.get(kind, ("",))
    return Fault(kind, dice.choice(target), hold=dice.uniform(0.05, 1.2), gap=dice.uniform(0.1, 0.8))
