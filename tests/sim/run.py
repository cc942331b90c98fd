"""One run: a master, some slaves, an application that keeps them busy, and faults until a time of peace at the end."""

from __future__ import annotations

from collections.abc import Callable

from interaction.core.session import WITNESS_PATIENCE, SessionState
from tests.sim.history import History
from tests.sim.journal import Disk
from tests.sim.master import PROBE_TIMEOUT, SimMaster
from tests.sim.recovery import Restarted, kill
from tests.sim.slave import SimSlave
from tests.sim.stranger import Stranger, judge
from tests.sim.world import Weather, World

TROUBLE = 40.0  # seconds in which faults happen
SLACK = 0.5  # seconds, of the promise
BATCHES = (1, 1, 1, 1, 1, 1, 3, 8)  # tasks that are started at once
PEACE = 75.0  # seconds after that in which all must come to its end
Plant = Callable[[SimMaster, list[SimSlave]], None]


class Run:
    """What a seed makes of the world. `plant` puts a bug into the nodes; see `bugs.py`."""

    def __init__(self, seed: int, plant: Plant | None = None) -> None:
        self.world = World(seed)
        self.history = History()
        self._plant = plant
        draw = self.world.random
        self.calm = draw.random() < 0.1  # a run without any fault: nothing may be lost in it
        self.wired = draw.random() < 0.3  # a run in which every message arrives: deaths are known soon
        self._excused_until = 0.0  # the master stands still, or has just done so
        self._gone_since: dict[str, float] = {}  # by token: since when the session's process is no more
        self.tolerance = draw.choice((1.0, 3.0, 15.0))
        self.check_span = draw.choice((0.1, 1.0))
        disk = Disk() if draw.random() < 0.6 else None
        idle = draw.choice((0.3, 3.0))
        self.master = SimMaster(self.world, self.history, self.tolerance, self.check_span, disk, idle)
        span = draw.choice((0.2, 3.0))
        self.slaves = [
            SimSlave(f"slave-{number}", self.world, self.history, self.master, span)
            for number in range(draw.randint(1, 3))
        ]
        self.weather = Weather() if self.calm else self._bad_weather()
        self._tasks = 0

    def go(self) -> History:
        """Run it, and return what happened."""
        self.master.prepare = self._replant
        self._replant()
        self.world.weather = self.weather
        if not self.calm:
            self._trouble()
        if self.world.seed % 3 == 0:
            Stranger(self.world, self.slaves, self.world.seed, TROUBLE)
        self._work()
        self._watch()
        self.world.run(TROUBLE)
        self._make_peace()
        self.world.run(TROUBLE + PEACE)
        self._judge()
        return self.history

    def _replant(self) -> None:
        if self._plant is not None:
            self._plant(self.master, self.slaves)

    def _bad_weather(self) -> Weather:
        draw = self.world.random
        snap = draw.choice((0.0, 0.0, 0.05, 0.3))
        if self.wired:
            return Weather(0.0, draw.choice((0.0, 0.1)), draw.choice((0.02, 0.3)), snap)
        return Weather(draw.choice((0.0, 0.05, 0.3)), draw.choice((0.0, 0.1)), draw.choice((0.02, 0.5, 2.0)), snap)

    # The application.

    def _work(self) -> None:
        """Connect where there is no session, start a task now and then, and disconnect once in a while."""
        draw, slave = self.world.random, self.world.random.choice(self.slaves)
        if draw.random() < 0.02:
            self.master.disconnect(slave)
        else:
            self.master.connect(slave)
            self._start(slave, draw.choice(BATCHES))
        if self.world.now < TROUBLE:
            self.world.on(self.master, self.world.now + draw.expovariate(2.0), self._work)

    def _start(self, slave: SimSlave, count: int) -> None:
        for _ in range(count):
            self._tasks += 1
            self.master.start_task(slave, f"task-{self._tasks:031}")

    # Faults.

    def _trouble(self) -> None:
        """One fault after the other."""
        if self.world.now >= TROUBLE:
            return
        draw, slave = self.world.random, self.world.random.choice(self.slaves)
        faults = [self._kill, self._pause_slave, self._pause_master, self._hiccup]
        if self.master.journal is not None:
            faults += [self._kill_master, self._kill_master, self._fill_disk]
        fault = draw.choice(faults if self.wired else [*faults, self._cut])
        fault(slave)
        self.world.at(self.world.now + draw.expovariate(0.3), self._trouble)

    def _kill(self, slave: SimSlave) -> None:
        if slave.up and self.world.random.random() < 0.3:
            self._drain(slave, self.world.now + 5.0)
        elif slave.up:
            slave.kill()
            self.world.at(self.world.now + self.world.random.choice((0.01, 1.0, 10.0)), lambda: self._revive(slave))

    def _drain(self, slave: SimSlave, latest: float) -> None:
        """When something waits there, or at the latest then."""
        tenancy = slave.tenancy
        if slave.up and not tenancy.admission.draining:
            waits = len(tenancy.admission.running(tenancy.engagement.token)) > tenancy.admission.slots
            if waits or self.world.now >= latest:
                slave.drain(self.world.random.choice((0.1, 2.0, 10.0)))
                self._replace_when_gone(slave)
                return
            if self.master.up:
                self._start(slave, BATCHES[-1])
            self.world.at(self.world.now + 0.1, lambda: self._drain(slave, latest))

    def _revive(self, slave: SimSlave) -> None:
        if not slave.up:
            slave.start()
            self._replant()

    def _replace_when_gone(self, slave: SimSlave) -> None:
        self._revive(slave)
        if slave.tenancy.admission.draining:
            self.world.at(self.world.now + 1.0, lambda: self._replace_when_gone(slave))

    def _kill_master(self, slave: SimSlave) -> None:
        journal = self.master.journal
        if self.master.up and (journal is None or not journal.owing):  # what could not be written would be forgotten
            kill(self.master, self.slaves)
            away = self.world.random.choice((0.0, 0.5, self.tolerance, 3 * self.tolerance))
            self.world.at(self.world.now + away, lambda: self._revive_master(slave))

    def _revive_master(self, slave: SimSlave) -> None:
        if not self.master.up:
            Restarted(self.master, self.slaves)
            self._excused_until = self.world.now
            self.history.counts["master restarted"] += 1
            if self.world.now < TROUBLE:
                self._work()
                if self.world.random.random() < 0.6:  # while it still comes back
                    soon = 0.01 * 100 ** self.world.random.random()
                    self.world.at(self.world.now + soon, lambda: self._kill_master(slave))

    def _fill_disk(self, slave: SimSlave) -> None:
        if self.master.journal is not None:
            self.master.journal.full_until = self.world.now + self.world.random.choice((0.1, 2.0))

    def _cut(self, slave: SimSlave) -> None:
        both = [(slave.name, self.master.name), (self.master.name, slave.name)]
        ways = set(self.world.random.choice((both[:1], both[1:], both)))
        self.world.cut |= ways
        self.world.at(self.world.now + self._a_while(), lambda: self.world.cut.difference_update(ways))

    def _pause_slave(self, slave: SimSlave) -> None:
        slave.paused_until = max(slave.paused_until, self.world.now + self._a_while())

    def _pause_master(self, slave: SimSlave) -> None:
        self.master.paused_until = max(self.master.paused_until, self.world.now + self._a_while())
        self._excused_until = self.master.paused_until

    def _hiccup(self, slave: SimSlave) -> None:
        if slave.work is not None and self.world.random.random() < 0.5:
            slave.work.wire.snap()
        else:
            slave.break_stream()

    def _a_while(self) -> float:
        return self.tolerance * self.world.random.choice((0.2, 0.9, 1.5))

    # Losses come in time.

    def _watch(self) -> None:
        """A few times a second: does the master believe in somebody for too long?"""
        now = self.world.now
        for slave in self.slaves:
            wrong = judge(slave)
            if wrong is not None:
                self.history.wrong(now, f"{slave.name} {wrong}")
        for link in self.master.links.values() if self.master.up else ():
            if not link.session.lives:
                continue
            silent_since = max(link.heard_at, self._excused_until)
            gone = WITNESS_PATIENCE if link.session.state is SessionState.GONE else 0.0
            if now > silent_since + self.tolerance + self.check_span + gone + SLACK:
                self.history.wrong(now, f"{link.slave.name} was not heard since {silent_since:.3f} s, and is not lost")
            if link.slave.up and link.slave.incarnation == link.session.incarnation:
                continue
            if link.slave.paused_until > now:  # a process that stands still in its place answers nobody: who can tell?
                self._gone_since[link.token] = now
            gone_since = max(self._gone_since.setdefault(link.token, now), self._excused_until)
            if self.wired and now > gone_since + 4 * self.world.weather.slowest + self.check_span + PROBE_TIMEOUT + 1.0:
                self.history.wrong(now, f"the process of {link.slave.name} is no more, and it is not lost")
        if not self.history.violations:
            self.world.at(now + 0.25, self._watch)

    # The end.

    def _make_peace(self) -> None:
        self.world.weather = Weather()
        self.world.cut.clear()
        self._revive_master(self.slaves[0])
        for slave in self.slaves:
            self._revive(slave)
        self.world.at(TROUBLE + 50.0, self._ask_once_more)

    def _ask_once_more(self) -> None:
        """Each slave must be of use again: a session, and a task that ends."""
        for slave in self.slaves:
            for moment in range(8):
                self.world.at(self.world.now + 2.0 * moment, lambda slave=slave: self.master.connect(slave))  # type: ignore[misc]
                self.world.at(
                    self.world.now + 2.0 * moment + 1.0,
                    lambda slave=slave, moment=moment: self.master.start_task(slave, f"last-{slave.name}-{moment:023}"),  # type: ignore[misc]
                )

    def _judge(self) -> None:
        history, now = self.history, self.world.now
        disk = self.master.disk
        history.finish(
            now, cut_off=set() if disk is None else {task.id for task in disk.tasks.values() if task.delivered}
        )
        for task in self.master.ended:
            history.look_again(now, task.id, task.status)
        for slave in self.slaves:
            last = [story for task_id, story in history.tasks.items() if task_id.startswith(f"last-{slave.name}")]
            if not any(story.value is not None and story.result == story.value for story in last):
                history.wrong(now, f"{slave.name} is of no use any more")
        unrequested = [loss for loss in history.losses if loss[2].name != "DISCONNECTED"]
        if self.calm and unrequested:
            history.wrong(now, f"nothing was wrong, and yet the master lost {unrequested[0][1]}")
        if self.calm and history.counts["no answer"]:
            history.wrong(now, "nothing was wrong, and yet a task got no answer")
