"""The line of proxies through an upgrade, in any order of events: never more at a time, and everybody's turn comes."""

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resilientslice.cluster.rollouts import ProxyRollouts
from resilientslice.kube.cache import Children
from resilientslice.kube.kinds import RESILIENT_SLICE, SliceKey
from resilientslice.kube.slices import Slices
from resilientslice.reconcile.children import DIGEST_ANNOTATION, REVISION_ANNOTATION, noted
from resilientslice.reconcile.rollouts import ASKED_ANNOTATION

OLD, NEW, NEWER = "1", "2", "3"


@dataclass(frozen=True)
class Wanted:
    """What `look` reads of what is expected."""

    template: str
    asked: str = "x"

    @property
    def digest(self):
        return f"{self.template}/{self.asked}"

    @property
    def notes(self):
        return {REVISION_ANNOTATION: self.template, ASKED_ANNOTATION: self.asked}

    def annotations(self):
        """Of a Deployment that was applied as it is wanted."""
        return {DIGEST_ANNOTATION: self.digest, **self.notes}


@dataclass
class Cluster:
    """Slices with proxies of OLD, whose operator wants them to be of `wants`."""

    count: int
    places: int
    wants: str = NEW
    version: int = 0
    deployments: dict[SliceKey, dict] = field(default_factory=dict)
    started: list[SliceKey] = field(default_factory=list)

    def __post_init__(self):
        self.keys = [SliceKey(f"ns-{number % 3}", f"s{number:02}") for number in range(self.count)]
        for key in self.keys:
            self.apply(key, Wanted(OLD))
            self.end(key)
        self.restart()

    def restart(self):
        self.woken = deque()
        self.slices = Slices(on_change=lambda key: None)
        self.children = Children(on_change=lambda key: None, shape=noted)
        self.rollouts = ProxyRollouts(self.slices, self.children, places=self.places, wake=self.woken.append)
        for key in self.keys:
            metadata = {"namespace": key.namespace, "name": key.name, "uid": str(key), "resourceVersion": "1"}
            self.slices.told({"kind": RESILIENT_SLICE.kind, "metadata": metadata})
            self.children.told(self.deployments[key])
        self.woken.extend(self.keys)

    def apply(self, key, wanted):
        self.version += 1
        live = self.deployments.get(key, {"metadata": {"generation": 0}, "status": {}})
        before = live["metadata"].get("annotations", {}).get(REVISION_ANNOTATION)
        self.deployments[key] = {
            "kind": "Deployment",
            "metadata": {
                "namespace": key.namespace,
                "name": f"{key.name}-proxy",
                "uid": f"uid-{key}",
                "generation": live["metadata"]["generation"] + (before != wanted.template),
                "resourceVersion": str(self.version),
                "labels": {"resilientslice.dev/slice": key.name},
                "annotations": wanted.annotations(),
                "ownerReferences": [{"uid": str(key), "controller": True}],
            },
            "spec": {"replicas": 2},
            "status": live["status"],
        }

    def end(self, key, *, stuck=False):
        """Its controller has counted: all are new, or the first new one does not come up."""
        self.version += 1
        live = self.deployments[key]
        generation = live["metadata"]["generation"]
        counts = {"replicas": 3, "updatedReplicas": 1, "availableReplicas": 2} if stuck else {}
        status = {
            "replicas": 2,
            "updatedReplicas": 2,
            "availableReplicas": 2,
            **counts,
            "observedGeneration": generation,
        }
        if stuck:
            status["conditions"] = [{"type": "Progressing", "status": "False"}]
        metadata = {**live["metadata"], "resourceVersion": str(self.version)}
        self.deployments[key] = {**live, "metadata": metadata, "status": status}

    def heard(self, key):
        self.children.told(self.deployments[key])
        self.woken.append(key)

    def do(self, key, *, asked="x"):
        """A pass; what it found out about its place in line."""
        wanted = Wanted(self.wants, asked)
        found = self.rollouts.look(key, wanted)
        if found is None and self.deployments[key]["metadata"]["annotations"] != wanted.annotations():
            self.apply(key, wanted)
            self.started.append(key)
            self.children.saw(self.deployments[key])
        self.rollouts.settle(key)
        return found

    def work(self):
        while self.woken:
            self.do(self.woken.popleft())

    def rolling(self):
        return [
            key for key in self.keys if self.deployments[key]["status"].get("updatedReplicas") == 1 or self.unseen(key)
        ]

    def unseen(self, key):
        live = self.deployments[key]
        return live["status"]["observedGeneration"] < live["metadata"]["generation"]

    def at(self, template):
        return sum(d["metadata"]["annotations"][REVISION_ANNOTATION] == template for d in self.deployments.values())


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(0, 11)),
        st.tuples(st.just("end"), st.integers(0, 11)),
        st.tuples(st.just("work"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=60,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events=EVENTS, places=st.integers(1, 4))
def test_never_more_at_a_time_and_everybodys_turn_comes(events, places):
    at = Cluster(12, places)
    for what, number in events:
        key = at.keys[number]
        if what == "pass":
            at.do(key)
        elif what == "work":
            at.work()
        elif what == "restart":
            at.restart()
        elif at.rolling():
            done = at.rolling()[number % len(at.rolling())]
            at.end(done)
            at.heard(done)
        assert len(at.rolling()) <= places
    at.work()
    for _ in range(len(at.keys)):
        for key in at.rolling():
            at.end(key)
            at.heard(key)
        at.work()
        assert len(at.rolling()) <= places
    assert at.at(NEW) == 12, "woken by those before them alone"
    assert len(at.started) == 12, "each once"


def test_the_next_is_woken_at_once_and_in_order():
    at = Cluster(6, 2)
    at.woken.clear()
    for key in reversed(at.keys):
        at.do(key)
    assert at.started == [at.keys[5], at.keys[4]]
    waiting = sorted(at.keys[:4])
    for expected in waiting:
        done = at.rolling()[0]
        at.end(done)
        at.children.told(at.deployments[done])
        at.do(done)
        assert at.woken[0] == expected
        at.work()
        assert at.started[-1] == expected


def test_a_bad_upgrade_stops_and_the_one_that_mends_it_goes_on():
    at = Cluster(8, 2)
    at.work()
    first = at.rolling()
    for key in first:
        at.end(key, stuck=True)
        at.heard(key)
    at.work()
    assert (at.at(NEW), at.rolling()) == (2, first)
    found = at.do(sorted(at.keys)[7])
    assert found.stuck == tuple(sorted(str(key) for key in first))
    at.wants = NEWER
    at.restart()
    at.work()
    assert at.rolling() == first, "they have their places already"
    assert at.at(NEWER) == 2
    for _ in range(8):
        for key in at.rolling():
            at.end(key)
            at.heard(key)
        at.work()
    assert at.at(NEWER) == 8


def test_who_waits_is_told_when_a_rollout_turns_out_to_be_stuck_and_once():
    at = Cluster(4, 1)
    at.work()
    (one,) = at.rolling()
    at.end(one, stuck=True)
    at.heard(one)
    at.do(at.woken.popleft())
    assert sorted(at.woken) == sorted(key for key in at.keys if key != one)
    at.work()
    at.do(one)
    assert not at.woken


def test_an_edit_does_not_wait_and_takes_a_place():
    at = Cluster(4, 1)
    at.work()
    waiting = next(key for key in at.keys if key not in at.rolling())
    assert at.do(waiting) is not None
    assert at.do(waiting, asked="y") is None
    assert len(at.rolling()) == 2, "one more than places: a person asked for it"
    first = at.started[0]
    at.end(first)
    at.heard(first)
    at.work()
    assert at.rolling() == [waiting]


@pytest.mark.parametrize("how", ["settle", "leave"])
def test_a_place_that_is_not_used_is_given_on(how):
    at = Cluster(3, 1)
    at.woken.clear()
    one, two, _ = sorted(at.keys)
    assert at.rollouts.look(one, Wanted(NEW)) is None
    assert at.rollouts.look(two, Wanted(NEW)) is not None
    getattr(at.rollouts, how)(one)
    assert list(at.woken) == [two]
    assert at.rollouts.look(two, Wanted(NEW)) is None


def test_what_was_written_is_counted_before_anybody_sees_it():
    at = Cluster(3, 1)
    one, two, _ = sorted(at.keys)
    assert at.rollouts.look(one, Wanted(NEW)) is None
    assert at.rollouts.look(two, Wanted(NEW)) is not None, "the write of the other is under way"
    at.apply(one, Wanted(NEW))
    at.children.saw(at.deployments[one])
    at.rollouts.settle(one)
    assert at.rollouts.look(two, Wanted(NEW)) is not None, "its controller has not counted yet"


def test_a_change_of_nothing_in_the_pods_hands_its_place_on():
    """The first upgrade to an operator that notes what it made."""
    at = Cluster(3, 1, wants=OLD)
    one, two, _ = sorted(at.keys)
    for live in at.deployments.values():
        live["metadata"]["annotations"] = {DIGEST_ANNOTATION: "of an operator that notes nothing"}
    at.restart()
    at.woken.clear()
    assert at.rollouts.look(one, Wanted(OLD)) is None
    assert at.rollouts.look(two, Wanted(OLD)) is not None
    live = at.deployments[one]
    metadata = {**live["metadata"], "annotations": Wanted(OLD).annotations(), "resourceVersion": "1000"}
    at.children.saw({**live, "metadata": metadata})
    at.rollouts.settle(one)
    assert list(at.woken) == [two]


def test_a_restarted_operator_takes_those_it_has_not_looked_at_for_waiting():
    """Else each status would be written anew while it looks at one slice after the other."""
    at = Cluster(12, 1)
    at.work()
    last = max(at.keys)
    before = at.do(last)
    assert before.before == 10
    at.restart()
    assert at.do(last) == before
