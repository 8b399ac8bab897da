"""What is known of an agent, in every order in which pushes and polls can begin, be handled, and come back."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from resilientslice.agent.client import AgentUnreachableError
from resilientslice.agent.signing import SigningKeys, Standing
from resilientslice.envoys import AgentPod, Fleet, new_key, pool
from resilientslice.envoys.wire import Answer

KEY = ("shop", "shop")
POD = AgentPod("pod", "uid", "10.0.0.1:9903", ready=True)
DIGESTS = [letter * 64 for letter in "abc"]
NOTHING = ""


@dataclass(eq=False)
class Question:
    """One request on its way. `reply` is None until the agent has handled it."""

    method: str
    digest: str
    came: "asyncio.Future[Answer]"
    task: "asyncio.Task[object]"
    number: int = 0
    reply: Answer | None = None
    verdict: str = ""
    snapshot: tuple[str, str, int, int] | None = None


@dataclass
class Agent:
    """What is true."""

    offered: str = NOTHING
    runs: str = NOTHING
    connected: int = 1
    active: int = 0
    refused: str = NOTHING
    sequence: int = 0

    def snapshot(self):
        refused = {"digest": self.refused, "type": "routes", "message": "no"} if self.refused else None
        return {
            "digest": self.offered,
            "epoch": [1, self.sequence],
            "acked": self.runs,
            "rejected": refused,
            "durable": True,
            "durable_reason": "",
            "envoy": {"connected": self.connected, "version": "1", "uptime": 1, "live": True, "error": ""},
            "counters": {"clusters": {"api-canary": {"hosts_rq_active": self.active}}, "http": {}, "ratelimit": {}},
            "ejected": [],
        }


@dataclass
class Known:
    """What may be said: nothing while a push is on its way, and what was asked after it."""

    runs: str = NOTHING
    offered: str = NOTHING
    refused: frozenset[str] = frozenset()
    active: int | None = None
    since: int = 0
    """Questions with a lower number were put before the last push had ended."""
    pushes: list[Question] = field(default_factory=list)


class Interleavings(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.loop = asyncio.new_event_loop()
        self.agent, self.known, self.numbers = Agent(), Known(), 0
        self.under_way: list[Question] = []
        self.asked: list[tuple[str, asyncio.Future[Answer]]] = []
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(pool, "request", self.request)
        self.fleet = Fleet()
        self.fleet.set_members(KEY, [POD], SigningKeys.of(new_key().encode()))

    async def request(self, session, keys, pod, call, *, seconds):
        came = self.loop.create_future()
        self.asked.append((call.method, came))
        return await came

    def turn(self):
        for _ in range(8):
            self.loop.run_until_complete(asyncio.sleep(0))

    def put(self, method, asking, digest=NOTHING):
        task = self.loop.create_task(asking)
        self.turn()
        (_, came) = self.asked[-1]
        self.numbers += 1
        self.under_way.append(Question(method, digest, came, task, self.numbers))
        return self.under_way[-1]

    @rule(digest=st.sampled_from(DIGESTS))
    def push(self, digest):
        epoch = (1, self.numbers + 1)
        question = self.put("PUT", self.fleet.push(KEY, "{}", digest, epoch, timeout=1), digest)
        self.known.pushes.append(question)
        self.known.runs, self.known.active = NOTHING, None

    @precondition(lambda self: len(self.under_way) < 6)
    @rule()
    def poll(self):
        self.put("GET", self.fleet.poll(KEY))

    @precondition(lambda self: any(one.reply is None for one in self.under_way))
    @rule(which=st.integers(0, 5), how=st.sampled_from(["accept", "accept", "refuse", "wait", "stale", "other"]))
    def handle(self, which, how):
        waiting = [one for one in self.under_way if one.reply is None]
        question = waiting[which % len(waiting)]
        if question.method == "GET":
            agent = self.agent
            question.snapshot = (agent.offered, agent.runs, agent.connected, agent.active)
            question.reply, question.verdict = Answer(200, agent.snapshot(), Standing.CURRENT), agent.refused
            return
        status, body = self.verdict(question, how)
        question.reply = Answer(status, body, Standing.CURRENT)

    def verdict(self, question, how):
        agent, digest = self.agent, question.digest
        question.verdict = how
        if how == "stale":
            return 409, {"error": "stale", "held": [1, question.number + 3]}
        if how == "other":
            return 200, {"accepted": True, "digest": next(one for one in DIGESTS if one != digest)}
        agent.offered, agent.sequence = digest, question.number
        if how == "accept":
            agent.runs, agent.refused = digest, NOTHING
            return 200, {"accepted": True, "digest": digest}
        if how == "refuse":
            agent.offered, agent.refused = agent.runs, digest
            return 422, {"accepted": False, "digest": digest, "serving": agent.runs, "message": "no"}
        return 504, {"error": "Envoy says nothing"}

    @precondition(lambda self: any(one.reply is not None for one in self.under_way))
    @rule(which=st.integers(0, 5))
    def deliver(self, which):
        done = [one for one in self.under_way if one.reply is not None]
        question = done[which % len(done)]
        serving = question.reply.body.get("serving", NOTHING)
        self.finish(question)
        question.came.set_result(question.reply)
        self.turn()
        assert question.task.done()
        if question.method == "PUT":
            self.learn_verdict(question, serving)
        elif question.number > self.known.since and not self.known.pushes:
            self.learn_snapshot(question)

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 5))
    def lose(self, which):
        """The answer never comes; what the agent was told, it was told."""
        question = self.under_way[which % len(self.under_way)]
        self.finish(question)
        question.came.set_exception(AgentUnreachableError("gone"))
        self.turn()
        if question.method == "PUT":
            question.verdict = "lost"
            self.learn_verdict(question, NOTHING)

    def finish(self, question):
        self.under_way.remove(question)

    def learn_verdict(self, question, serving):
        known = self.known
        if question not in known.pushes:
            return
        latest = known.pushes[-1] is question
        known.pushes.remove(question)
        if not latest:
            return  # another one was begun since, and its verdict counts
        known.pushes.clear()  # those before it say nothing any more
        known.since, known.active = self.numbers, None
        match question.verdict:
            case "accept":
                known.runs = known.offered = question.digest
                known.refused -= {question.digest}
            case "refuse":
                known.runs = known.offered = serving
                known.refused |= {question.digest}
            case "wait":
                known.offered = question.digest
            case _:
                known.offered = NOTHING

    def learn_snapshot(self, question):
        offered, runs, connected, active = question.snapshot
        known = self.known
        known.runs = runs if offered == runs and connected else NOTHING
        known.offered, known.active = offered, active
        known.refused = known.refused - {runs} | ({question.verdict} - {NOTHING})

    @precondition(lambda self: self.agent.offered != self.agent.runs)
    @rule()
    def envoy_answers_late(self):
        self.agent.runs = self.agent.offered

    @rule(connected=st.integers(0, 1), active=st.integers(0, 9))
    def envoy(self, connected, active):
        self.agent.connected, self.agent.active = connected, active

    @invariant()
    def what_is_said_is_what_may_be_said(self):
        if not hasattr(self, "fleet"):
            return
        view, known = self.fleet.view(KEY, canary=["api"]), self.known
        (member,) = view.members
        assert view.envoys.proxies.acked.get("pod", NOTHING) == known.runs
        if not known.pushes:
            assert (member.offered, member.refused.keys()) == (known.offered, known.refused)
            assert (view.envoys.active if not member.trouble else known.active) == known.active
        else:
            assert view.envoys.active is None

    def teardown(self):
        if hasattr(self, "loop"):
            for question in self.under_way:
                question.task.cancel()
            self.turn()
            self.loop.close()
            self.patch.undo()


TestInterleavings = Interleavings.TestCase
# which steps fail is read off a failure as it is: shrinking takes minutes on a slow machine
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]
TestInterleavings.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, phases=PHASES)
