"""A canary that dies while it carries everything for a port that moves: who is reachable then, pod by pod."""

import pytest
from tests.unit.planning.rolling_world import World, _aim

from resilientslice.canary.state import Phase
from resilientslice.render.names import Track


class Losing(World):
    """Only what is lost is unreachable: some pods of a service, never all that are ready."""

    reached: list[int]

    def check(self) -> None:
        if not hasattr(self, "reached") or self.plan is None:
            return
        config = self.envoys[0]
        drawn = Track.CANARY if self.plan.memory.state.live else Track.STABLE
        (aim,) = [_aim(one) for one in config.clusters if one["name"] == f"payments-{drawn}"]
        serving = self.deployments["payments", drawn].serving()
        self.reached.append(sum(pod.listens == aim for pod in serving))


def promoting(replicas: int) -> Losing:
    world = Losing()
    for service in world.spec["services"]:
        service["replicas"] = replicas
    world.run(12)
    world.rest()
    world.service("payments")["port"] = 9090
    while world.observed.memory.state.phase is not Phase.PROMOTING:
        world.run()
    return world


def lose(world: Losing) -> None:
    for pod in world.deployments["payments", Track.CANARY].pods:
        pod.ready = False
    world.control()
    world.reconcile()
    world.reached = []


@pytest.mark.parametrize(("replicas", "rounds"), [(2, 0), (3, 0), (3, 1), (5, 0), (5, 1), (5, 2), (5, 3)])
def test_stable_serves_with_what_can_be_reached(replicas, rounds):
    world = promoting(replicas)
    world.run(rounds)
    assert world.observed.memory.state.phase is Phase.PROMOTING
    world.deployments["payments", Track.CANARY].template.bad = True
    for pod in world.deployments["payments", Track.CANARY].pods:
        pod.bad = True
    lose(world)
    world.rest()
    assert min(world.reached) >= replicas // 2
    assert world.plan.memory.aims == {}


@pytest.mark.parametrize("replicas", [2, 3, 5])
def test_the_canary_carries_everything_again_once_it_is_back(replicas):
    world = promoting(replicas)
    lose(world)
    assert not world.observed.memory.state.live
    canary = world.deployments["payments", Track.CANARY]
    for pod in canary.pods:
        pod.ready = True
    canary.control(world.now)
    world.reconcile()
    state = world.observed.memory.state
    assert (state.phase, state.live, state.weight) == (Phase.PROMOTING, True, 100)
    world.rest()
    assert min(world.reached) >= replicas // 2
    assert world.plan.memory.aims == {}
