"""Everything of one story: time, network, disk, peers, and one life of the recorder after the other."""

import logging
import re
import signal
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from callqa.audiofile import wav_bytes
from callqa.config import PathSettings, RetentionSettings, Settings, SipSettings
from callqa.desk import Desk, DeskRouting, DeskSeat, DeskTrunk, DialRule
from callqa.errors import ConfigError
from callqa.sip.process.journal_writer import JournalWriter
from callqa.sip.process.surroundings import Surroundings
from tests.simulate.files import Disk, MemoryFiles
from tests.simulate.legal import EventOrder
from tests.simulate.loop import SECOND_NS, Clockwork, Killed
from tests.simulate.network import Address, Net
from tests.simulate.peer import Peer, Talk
from tests.simulate.plan import Plan
from tests.simulate.process import (
    CheckedRecorder,
    Run,
    SimDoor,
    SimHelper,
    SimSockets,
    SimTransport,
    SimWorker,
    seeded,
)
from tests.simulate.voice import MARK, Voice

HOME = Path("/home")
SERVER: Address = ("10.0.0.1", 5060)
TLS_PORT = 5061
TRUNK: Address = ("10.0.1.1", 5060)
EPOCH_NS = 1_795_305_600 * SECOND_NS  # 2026-11-22 00:00:00 UTC


class SimSettings(Settings):
    """Paths said once: they are asked for every second."""

    recordings_dir: ClassVar[Path] = HOME / "recordings"  # type: ignore[assignment]
    spool_dir: ClassVar[Path] = HOME / "recordings/spool"  # type: ignore[assignment]
    journal_dir: ClassVar[Path] = HOME / "recordings/journal"  # type: ignore[assignment]
    state_dir: ClassVar[Path] = HOME / "var/state"  # type: ignore[assignment]
    desk_path: ClassVar[Path] = HOME / "var/state/desk.json"  # type: ignore[assignment]
    registrations_path: ClassVar[Path] = HOME / "var/state/registrations.json"  # type: ignore[assignment]


SETTINGS = SimSettings(
    paths=PathSettings(recordings=HOME / "recordings", var=HOME / "var", scorecards=HOME / "scorecards"),
    sip=SipSettings(
        listen_host=SERVER[0],
        listen_port=SERVER[1],
        tcp_port=SERVER[1],
        tls_port=TLS_PORT,
        rtp_port_min=20000,
        rtp_port_max=20063,
        rtp_timeout_s=5,
    ),
    retention=RetentionSettings(disk_alarm_mb=1, disk_floor_mb=1),
)
NOTICE_MS = 240
MOVES_NS = 4 * SECOND_NS  # a 200 that got lost three times
TLS_STANDS_FOR: ssl.SSLContext = object()  # type: ignore[assignment]  # connections without a cipher
_NUMBER = re.compile(r"(?:1387120|1391234)(\d{4})")


@dataclass(eq=False, slots=True)
class Attempt:
    """What the world knows of one call."""

    number: int
    inbound: bool
    caller: Talk | None = None
    callees: list[Talk] = field(default_factory=list)
    voices: list[Voice] = field(default_factory=list)
    begun_ns: int = 0  # the recorder's first answer to its INVITE, other than a challenge
    ok_ns: int = 0  # its first 200 to the caller
    wall_offsets_ns: dict[int, int] = field(
        default_factory=dict
    )  # by life of the recorder that took its INVITE, at that instant
    reports: list[tuple[int, int]] = field(default_factory=list)  # RTCP that reached the recorder: 1 of the agent, when
    life: int = 0  # of the recorder, at its begin
    consult: tuple[str, str] | None = None  # a seat's call to a seat: from, to
    hostile: bool = False  # somebody spoke with the address of a peer: no word about its audio
    taken: bool = False  # answered something else than a challenge, a 100, or a 503 of a recorder that stops

    def wall_offset_ns(self, *, recovered: bool) -> int:
        """Of the call that was recorded: begun in the first life that took the INVITE if a later one finished it, else the last."""
        offsets = self.wall_offsets_ns
        return offsets[min(offsets) if recovered else max(offsets)] if offsets else 0

    @property
    def key(self) -> str:
        """The number that the journal knows it by."""
        return f"{'1387120' if self.inbound else '1391234'}{self.number:04d}"

    def is_of(self, from_number: str, to_number: str) -> bool:
        """Whether a call with these numbers is this one."""
        if self.consult is not None:
            return (from_number, to_number) == self.consult
        return self.key in (from_number, to_number)


@dataclass(frozen=True, slots=True)
class Blow:
    """A kill or power cut."""

    at_ns: int
    power: bool


class World:
    def __init__(self, plan: Plan, trace: Callable[[str], None] | None = None) -> None:
        self.plan = plan
        self.trace = trace
        seed = plan.seed
        self.work = Clockwork(seeded(seed, "work"))
        self.net = Net(self.work, seeded(seed, "net"), plan.weather)
        self.net.trace = self.say if trace else None
        self.net.watch_sip = self._watch
        self.disk = Disk(seeded(seed, "disk"), lambda: self.work.now_ns, in_order=plan.disk_in_order)
        self.tokens = seeded(seed, "tokens")
        self.rng = seeded(seed, "world")
        self.keys = seeded(seed, "keys")
        self.wall_offset_ns = EPOCH_NS + plan.wall_start_s * SECOND_NS - self.work.now_ns
        self.booted_ns = self.work.now_ns - 100 * SECOND_NS
        self.server = SERVER
        self.violations: list[str] = []
        self.attempts: dict[int, Attempt] = {}
        self.by_sip_call_id: dict[str, Attempt] = {}
        self.lives: list[Run] = []
        self.run: Run | None = None
        self.blows: list[Blow] = []
        self.troubled_ns: list[tuple[int, int]] = []  # when the disk refused, from and to
        self.child = MemoryFiles(self.disk)
        self.journal_seen: dict[int, bytes] = {}
        self.stepped = False
        self.at_peace = False
        self._install()
        self.trunk = Peer(self, TRUNK, "trunk", by=plan.wide.trunk_by)
        self.phones = [
            Peer(self, (f"10.0.2.{i + 1}", 5060), f"800{i + 1}", f"pw800{i + 1}", plan.wide.phones_by)
            for i in range(plan.seats)
        ]

    # -- talking ----------------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        if self.trace is not None:
            self.trace(f"{(self.work.now_ns - 1000 * SECOND_NS) / SECOND_NS:10.4f}  {text}")

    def wrong(self, invariant: str, detail: str) -> None:
        self.say(f"VIOLATION {invariant}: {detail}")
        if len(self.violations) < 20:
            self.violations.append(f"{invariant}: {detail}")

    # -- what the peers ask -----------------------------------------------------------------------------------------

    def attempt_of(self, fields: dict[str, list[str]], talk: Talk) -> int:
        """Which call an INVITE of the recorder belongs to."""
        users = tuple(m[1] for name in ("from", "to") if (m := re.search(r"sip:(\w+)@", fields[name][0])))
        consult = next((a for a in self.attempts.values() if a.consult is not None and a.consult == users), None)
        if consult is not None:
            consult.callees.append(talk)
            return consult.number
        found = _NUMBER.search(fields["from"][0]) or _NUMBER.search(fields["to"][0])
        if found is None or int(found[1]) not in self.attempts:
            self.wrong("an INVITE of no call", f"{fields['from'][0]} → {fields['to'][0]}")
            return -1
        attempt = self.attempts[int(found[1])]
        attempt.callees.append(talk)
        if self.plan.wide.notice == "good" and attempt.inbound and attempt.life == len(self.lives):
            assert attempt.caller is not None
            sent = self.net.sent_to[TRUNK[0], attempt.caller.rtp_port]
            if (
                sent < NOTICE_MS // 20 and not attempt.hostile and not attempt.caller.has_held
            ):  # it hears nothing on hold
                self.wrong("the notice is played before anybody rings", f"call {attempt.number}: {sent} frames")
        return attempt.number

    def phone_answered(self, peer: Peer, talk: Talk) -> None:
        self.say(f"{peer.user} answers call {talk.attempt}")

    def new_voice(self, peer: Peer, talk: Talk) -> Voice:
        """side: even citizen, odd agent; further voices of a call have further numbers."""
        attempt = self.attempts[talk.attempt]
        agent = talk.caller != attempt.inbound
        side = 2 * len(attempt.voices) + agent
        rng = self.rng
        voice = Voice(
            talk.attempt, side, rng.getrandbits(32), rng.choice((rng.getrandbits(16), 65530)),
            rng.choice((rng.getrandbits(32), 0xFFFFFF00)), payload_type=0 if self.plan.law == "ulaw" else 8,
            address=(peer.address[0], talk.rtp_port),
        )  # fmt: skip
        attempt.voices.append(voice)
        return voice

    def relayed(self, talk: Talk, data: bytes) -> None:
        """RTP that the recorder sent to a peer."""
        if len(data) < 20 or data[12] != MARK or data[19] != 0x7E:
            return  # music
        call, side = data[13] - 0x20, data[14] - 0x40
        if side == 31:
            return
        attempt = self.attempts.get(talk.attempt)
        agent = attempt is not None and talk.caller != attempt.inbound
        if talk.joined and self.work.now_ns - talk.joined < MOVES_NS and call == talk.before:
            return  # its 200 was not read yet
        if call != talk.attempt or bool(side & 1) == agent:
            self.wrong("nobody hears another call, or himself", f"call {talk.attempt} was sent call {call} side {side}")

    def _watch(self, data: bytes, source: Address, to: Address) -> None:
        """What the recorder says to the callers."""
        if source[0] != SERVER[0] or not data.startswith(b"SIP/2.0 ") or b" INVITE\r\n" not in data:
            return
        found = re.search(rb"\r\nCall-ID: ([^\r]*)", data)
        attempt = self.by_sip_call_id.get(found[1].decode()) if found else None
        if attempt is None:
            return
        status = int(data[8:11])
        not_begun = (401, 407, 403, 500, 481, 491) if attempt.inbound else (401, 407, 403, 500, 481, 491, 503)
        if not attempt.begun_ns and status not in not_begun:  # a seat that calls while we stop is told a fault
            attempt.begun_ns, attempt.life = self.work.now_ns, len(self.lives)
        if status not in not_begun:
            attempt.wall_offsets_ns.setdefault(len(self.lives), self.wall_offset_ns)
        stopping = self.run is not None and self.run.told_to_stop
        if status > 100 and status not in not_begun and not (status == 503 and stopping):
            attempt.taken = True
        if 200 <= status < 300 and not attempt.ok_ns:
            attempt.ok_ns = self.work.now_ns

    def begin(self, peer: Peer, attempt: Attempt, number: str, shown: str) -> None:
        """A peer calls."""
        self.attempts[attempt.number] = attempt
        self.say(f"{peer.user} calls: call {attempt.number}")
        plan = self.plan.calls[attempt.number]
        attempt.caller = (
            peer.record(attempt.number, shown) if plan.session else peer.call(attempt.number, number, shown)
        )
        self.by_sip_call_id[attempt.caller.call_id] = attempt

    def moves(self, peer: Peer, talk: Talk, attempt: int) -> None:
        """The far end of a seat's question moves to the citizen's call, or back to it: the same source, another call."""
        before = talk.voice
        talk.joined, talk.before, talk.attempt, talk.voice = self.work.now_ns, talk.attempt, attempt, None
        self.say(f"{peer.user} joins call {attempt}")
        if before is not None and talk.sends:
            voice = talk.voice = self.new_voice(peer, talk)
            voice.ssrc, voice.sequence, voice.timestamp = before.ssrc, before.sequence, before.timestamp
            voice.first_due_ns = before.due_ns

    # -- the recorder's lives ---------------------------------------------------------------------------------------

    def _install(self) -> None:
        files = MemoryFiles(self.disk)
        files.make_folder(SETTINGS.state_dir)
        files.make_folder(SETTINGS.recordings_dir)
        files.put(SETTINGS.desk_path, desk(self.plan).model_dump_json(by_alias=True).encode())
        if self.plan.saved_registrations:
            by = self.plan.wide.phones_by
            phone_way = "" if by == "udp" else f";transport={by}"
            rows = ",".join(
                f'{{"extension":"800{i + 1}","contact":"sip:800{i + 1}@10.0.2.{i + 1}:5060{phone_way}","host":"10.0.2.{i + 1}",'
                f'"port":5060,"call_id":"reg-800{i + 1}","cseq":0,"instance":"","transport":"{by.upper()}",'
                f'"expires_at_ms":{(self.work.now_ns + self.wall_offset_ns) // 1_000_000 + 3_000_000}}}'
                for i in range(self.plan.seats)
            )
            files.put(SETTINGS.registrations_path, f"[{rows}]".encode())
        for kind, name in ((self.plan.wide.notice, "notice.wav"), (self.plan.wide.music, "music.wav")):
            if kind in ("good", "broken"):
                files.make_folder(SETTINGS.prompts_dir)
                files.put(SETTINGS.prompts_dir / name, tone() if kind == "good" else b"RIFF what follows is none")
        files.die()

    def child_files(self) -> MemoryFiles:
        self.child = MemoryFiles(self.disk)
        return self.child

    def start(self) -> None:
        """Start the recorder, as its supervisor does: again in a second where it cannot."""
        if self.run is not None:
            return
        run = Run(self)
        try:
            for folder in (SETTINGS.spool_dir, SETTINGS.journal_dir, SETTINGS.state_dir):
                run.files.make_folder(folder)
            journal = JournalWriter(SETTINGS.journal_dir, run.files)
        except (OSError, ConfigError) as e:
            self.say(f"the recorder does not start: {e}")
            if self.lives:
                self.wrong("a recorder that has run starts again, whatever the disk", str(e))
            run.files.die()
            self.work.after(SECOND_NS, self.start)
            return
        self.say(f"the recorder starts, life {len(self.lives) + 1}")
        self.run = run
        self.lives.append(run)

        def helper(recordings: Path) -> SimHelper:
            run.helper = SimHelper(run, recordings)
            return run.helper

        around = Surroundings(
            clock=run.clock, files=run.files, random=self.tokens.randbytes, node=lambda: "SIMU", bind=run.bind,
            sockets=lambda loop: SimSockets(run),  # type: ignore[arg-type, return-value]
            workers=lambda name, at_times, every_s: SimWorker(run, at_times, every_s, self.plan.slow_disk),
            helper=helper, door=lambda path, make_board: SimDoor(path, make_board, run.files),
        )  # fmt: skip
        run.loop.open_datagram = lambda protocol: SimTransport(self.net, SERVER, run.loop, protocol)

        ways = ((SERVER, None), ((SERVER[0], TLS_PORT), TLS_STANDS_FOR))

        def begin() -> None:
            run.recorder = CheckedRecorder(SETTINGS, journal, lambda: TLS_STANDS_FOR, around)
            run.recorder.order = EventOrder(self.wrong)
            run.task = run.loop.create_task(run.recorder.run(None, ways))  # type: ignore[arg-type]
            run.task.add_done_callback(lambda task: self._ended(run, journal))

        run.loop.call(begin)

    def _ended(self, run: Run, journal: JournalWriter) -> None:
        if run.loop.dead:
            return
        assert run.task is not None
        error = None if run.task.cancelled() else run.task.exception()
        if error is not None and not self.troubled_ns:
            self.wrong("the recorder runs until it is told to stop", repr(error))
        try:
            journal.close()
        except OSError as e:
            if not self.troubled_ns:
                self.wrong("the journal closes", repr(e))
        self.say("the recorder has stopped")
        self.run = None
        if error is not None:
            self._gone(run)
            self.work.after(SECOND_NS, self.start)

    def tell_to_stop(self) -> None:
        """SIGTERM."""
        if self.run is not None:
            self.run.told_to_stop = True
            self.run.loop.call(self.run.loop.handlers[signal.SIGTERM])

    def _gone(self, run: Run) -> None:
        run.loop.dead = True
        run.files.die()
        for bound in list(run.sockets):
            bound.close()
        for end in sorted(run.ends, key=lambda end: end.other.address):
            end.close()
        for server in run.servers:
            server.close()
        self.net.at.pop(SERVER, None)
        if self.run is run:
            self.run = None

    def kill(self, back_after_s: float) -> None:
        """kill -9: what was written stays, and the child may finish what it has in hand."""
        run = self.run
        if run is None:
            return
        self.say("kill -9")
        self.blows.append(Blow(self.work.now_ns, False))
        job, helper = run.child_job, run.helper
        self._gone(run)
        if job is not None and helper is not None and self.rng.random() < 0.6:
            self.work.after(self.rng.randrange(1_000_000, 120_000_000), helper.finish_alone, job)
        self.work.after(int(back_after_s * SECOND_NS), self.start)

    def cut_power(self, back_after_s: float) -> None:
        """Nothing runs, and the disk has what it has."""
        self.say("power cut")
        self.blows.append(Blow(self.work.now_ns, True))
        if self.run is not None:
            self._gone(self.run)
        self.child.die()
        self.disk.cut_power()
        self.work.after(int(back_after_s * SECOND_NS), self._boot)

    def _boot(self) -> None:
        self.booted_ns = self.work.now_ns - self.rng.randrange(5, 60) * SECOND_NS
        self.start()

    def killed_in_an_operation(self) -> None:
        """The process is killed while it is in the kernel, writing."""
        blow = self.plan.blow
        assert blow is not None
        (self.cut_power if blow.power else self.kill)(blow.back_after_s)

    # -- the disk ---------------------------------------------------------------------------------------------------

    def trouble_begins(self, kind: int, where: str) -> None:
        """Operations that change something fail with an errno from now on. where: part of the path; "" = all."""
        self.say(f"disk trouble: {kind} {where}")
        self.troubled_ns.append((self.work.now_ns, 1 << 62))
        changing = {28: ("write", "create"), 30: ("open", "write", "create", "truncate", "unlink", "rename")}.get(
            kind, ("write", "sync", "rename", "create")
        )
        self.disk.full = kind == 28

        def trouble(operation: str, path: str) -> None:
            if operation in changing and where in path and (kind != 5 or self.disk.rng.random() < 0.4):
                raise OSError(kind, "trouble", path)

        self.disk.trouble = trouble

    def trouble_ends(self) -> None:
        self.say("the disk is well again")
        self.disk.full = False
        self.disk.trouble = lambda operation, path: None
        if self.troubled_ns and self.troubled_ns[-1][1] == 1 << 62:
            self.troubled_ns[-1] = (self.troubled_ns[-1][0], self.work.now_ns)

    def step_clock(self, seconds: int) -> None:
        self.say(f"the wall clock steps by {seconds} s")
        self.stepped = True
        self.wall_offset_ns += seconds * SECOND_NS

    # -- the worker, who reads the journal --------------------------------------------------------------------------

    def read_journal(self) -> None:
        """Take entries numbered above what was seen, as the worker does, and keep them for good."""
        last = max(self.journal_seen, default=0)
        folder = str(SETTINGS.journal_dir)
        for name in sorted(self.disk.folders.get(folder, ())):
            if not name.endswith(".jsonl"):
                continue
            for line in bytes(self.disk.folders[folder][name].data).split(b"\n")[:-1]:
                found = re.match(rb'\{"number":(\d+),', line)
                if found is not None and int(found[1]) > last:
                    self.journal_seen[int(found[1])] = line


@cache
def tone() -> bytes:
    """A WAV file of NOTICE_MS."""
    samples = (9000 * np.sin(np.arange(NOTICE_MS * 8) / 2.5)).astype(np.int16)
    return wav_bytes(samples[:, None], 8000)


def desk(plan: Plan) -> Desk:
    """Seats, one trunk, and who may be called."""
    import hashlib

    def seat(extension: str) -> DeskSeat:
        text = f"{extension}:callqa:pw{extension}".encode()
        return DeskSeat(
            extension=extension, ha1_md5=hashlib.md5(text).hexdigest(), ha1_sha256=hashlib.sha256(text).hexdigest(),
            agent_no=f"A{extension}",
        )  # fmt: skip

    def encryption(who: Literal["trunk", "phones"]) -> Literal["off", "optional", "required"]:
        return "off" if who not in plan.wide.secure else "required" if plan.wide.must else "optional"

    return Desk(
        number=1,
        seats=tuple(seat(f"800{i + 1}") for i in range(plan.seats)),
        trunks=(
            DeskTrunk(
                name="trunk",
                addresses=(TRUNK[0],),
                host=TRUNK[0],
                port=TRUNK[1],
                transport=plan.wide.trunk_by,
                media_encryption=encryption("trunk"),
            ),
        ),
        dial_plan=(DialRule(pattern=r"1\d{10}", trunk="trunk"),),
        routing=DeskRouting(
            ring_timeout_s=plan.ring_timeout_s,
            hotline_number="02784770000",
            inbound_mode=plan.mode,
            queue_most=plan.queue_most,
            ring_strategy=plan.strategy,
            ring_each_s=5,
            queue_wait_s=10,
            pause_allowed=plan.pause_allowed,
            seat_encryption=encryption("phones"),
            early_prompts=plan.wide.early,
            notice="notice.wav" if plan.wide.notice else "",
            queue_music="music.wav" if plan.wide.music else "",
        ),
    )


class Ears(logging.Handler):
    """What the product logs: an exception that is no OSError has no business there."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.WARNING)
        self.world = world

    def emit(self, record: logging.LogRecord) -> None:
        if self.world.trace is not None:
            self.world.say(f"log {record.levelname} {record.getMessage()}")
        if record.exc_info and record.exc_info[0] is not None and not issubclass(record.exc_info[0], OSError | Killed):
            import traceback

            last = traceback.extract_tb(record.exc_info[2])[-1]
            where = f"{last.filename.rpartition('/')[2]}:{last.lineno}"
            self.world.wrong(
                "no exception but the disk's", f"{record.getMessage()[:120]}: {record.exc_info[1]!r} at {where}"
            )
