"""What must be true of every story, whatever happened in it."""

import hashlib
import itertools
import json
from collections import Counter

import numpy as np

from callqa.journal import JournalEntry, JournalKind, decode_line
from callqa.sidecar import Sidecar
from callqa.sip.media.columns import read_columns
from callqa.sip.media.spool import MAGIC, AnsweredMark, StartedMark
from tests.simulate.line import LOST_OF_256
from tests.simulate.loop import SECOND_NS
from tests.simulate.peer_media import Talk
from tests.simulate.process import Run
from tests.simulate.sound import check_audio, pauses_of
from tests.simulate.world import SETTINGS, Attempt, World

ENDS = (JournalKind.CALL_ENDED, JournalKind.CALL_UNANSWERED, JournalKind.CALL_ABANDONED)
FALSE_ALARMS = ("没有绑定",)  # nothing in a story gives a reason for them
JOURNAL_UNSYNCED_NS = SPOOL_UNSYNCED_NS = SECOND_NS  # what a power cut may take


def entries(world: World) -> list[JournalEntry]:
    """The whole journal, oldest first."""
    folder = world.disk.folders.get(str(SETTINGS.journal_dir), {})
    found = []
    for name in sorted(n for n in folder if n.endswith(".jsonl")):
        for line in bytes(folder[name].data).split(b"\n"):
            entry = decode_line(line) if line else None
            if entry is not None:
                found.append(entry)
            elif line and not any(b.power for b in world.blows):
                world.wrong("every line of the journal can be read", f"{name}: {line[:80]!r}")
    return found


def calls_in_journal(world: World) -> Counter[tuple[str, str]]:
    """How often what is said of which call."""
    return Counter((e.kind.value, e.call_id) for e in entries(world) if e.call_id and e.kind is not JournalKind.FAULT)


def sidecars(world: World) -> dict[str, Sidecar]:
    """Path → sidecar, for all calls."""
    found = {}
    for folder in sorted(world.disk.folders):
        if not folder.startswith(f"{SETTINGS.recordings_dir}/2"):
            continue
        for name, inode in sorted(world.disk.folders[folder].items()):
            if name.endswith(".json"):
                found[f"{folder}/{name}"] = Sidecar.model_validate_json(bytes(inode.data))
            elif name.startswith("."):
                world.wrong("no half file is left", f"{folder}/{name}")
    return found


# -- the process ----------------------------------------------------------------------------------------------------


def check_at_rest(world: World) -> None:
    """Calls are over and 64 T1 have passed."""
    run = world.run
    if run is None or run.recorder is None:
        return
    agent, book = run.recorder._agent, run.recorder._book
    if not agent.idle():
        core = agent._core
        world.wrong(
            "no transaction, dialog or call is left",
            f"calls {[c.call_id for c in agent.calls()]}, legs {len(core.legs)}, transactions {len(core.transactions)}",
        )
    if book._calls:
        world.wrong("no call is open in the book", str(list(book._calls)))
    if run.sockets:
        world.wrong("every RTP port is given back", str(sorted(s.address[1] for s in run.sockets)))
    if run.recorder._ports._bound:
        world.wrong("every RTP port is given back", f"in the pool {sorted(run.recorder._ports._bound)}")
    left = [path for _, path, _ in run.files.opened.values() if "/journal/" not in path]
    if left:
        world.wrong("no file stays open", str(left))
    if run.recorder.order.unfinished():
        world.wrong("events in their order", f"without MediaClosed: {run.recorder.order.unfinished()}")
    for peer in (world.trunk, *world.phones):
        for talk in peer.talks.values():
            if talk.state != "over":
                world.wrong("no peer is left hanging", f"{peer.user}, call {talk.attempt}: {talk.state} {talk.notes}")


def check_stopped(world: World, run: Run) -> None:
    """The recorder was told to stop."""
    if world.run is run:
        world.wrong("the recorder stops when told to", "it runs on after 20 s")
        return
    if run.loop.dead:
        return
    if run.files.opened:
        world.wrong("no file stays open", str([path for _, path, _ in run.files.opened.values()]))
    if run.sockets:
        world.wrong("every RTP port is given back", "at the end")
    timers = [t for t in run.loop.timers if not t.cancelled()]
    if timers:
        world.wrong("no timer is left", str(timers[:3]))
    for trouble in run.loop.troubles:
        world.wrong("no task fails unseen", trouble)


# -- the story ------------------------------------------------------------------------------------------------------


def check(world: World) -> None:
    """Everything that can be told from outside at the end."""
    found = entries(world)
    made = sidecars(world)
    _check_numbers(world, found)
    for entry in found:
        if entry.kind is JournalKind.FAULT and any(text in entry.facts["text"] for text in FALSE_ALARMS):
            world.wrong("no false alarm", entry.facts["text"])
    _check_reader(world, found)
    by_call = _by_call(found)
    _check_rows(world, by_call, made)
    _check_spools(world, made)
    _check_prompts(world, found)
    for attempt in world.attempts.values():
        _check_attempt(world, attempt, by_call, made)


def _check_prompts(world: World, found: list[JournalEntry]) -> None:
    """A notice that cannot be played is told of once somebody should hear it, one that can is not."""
    told = any(e.kind is JournalKind.FAULT and "录音告知" in e.facts["text"] for e in found)
    notice = world.plan.wide.notice
    if told and notice not in ("missing", "broken") and not world.troubled_ns:
        world.wrong("no false alarm", "the notice was said to be no use")
    inbound = any(
        a.inbound and a.taken and not (a.consult or world.plan.calls[a.number].session) for a in world.attempts.values()
    )
    if notice in ("missing", "broken") and inbound and not told and not world.blows and not world.troubled_ns:
        world.wrong("a notice that is missing is told of", notice)


def _by_call(found: list[JournalEntry]) -> dict[str, list[JournalEntry]]:
    by_call: dict[str, list[JournalEntry]] = {}
    for entry in found:
        if entry.call_id and entry.kind is not JournalKind.FAULT:
            by_call.setdefault(entry.call_id, []).append(entry)
    return by_call


def _check_numbers(world: World, found: list[JournalEntry]) -> None:
    numbers = [e.number for e in found]
    if any(b <= a for a, b in itertools.pairwise(numbers)):
        world.wrong("journal numbers grow", str([n for n in itertools.pairwise(numbers) if n[1] <= n[0]]))


def _check_reader(world: World, found: list[JournalEntry]) -> None:
    """The worker reads by number: what it has seen of a number stays true, and nothing comes with a number passed."""
    seen = {number: json.loads(line.rpartition(b"\t")[0]) for number, line in world.journal_seen.items()}
    for entry in found:
        known = seen.get(entry.number)
        if known is None:
            world.wrong(
                "the worker sees every entry", f"number {entry.number} {entry.kind} came after a higher one was read"
            )
        elif known["kind"] != entry.kind.value or known["call_id"] != entry.call_id:
            world.wrong(
                "a journal number is one entry",
                f"{entry.number}: {known['kind']} {known['call_id']} was read, now {entry.kind}",
            )


def _lost_at(world: World, at_ns: int, window_ns: int) -> bool:
    """Whether what was written at an instant may have gone with a power cut."""
    return any(b.power and b.at_ns - window_ns <= at_ns <= b.at_ns for b in world.blows)


def _excused(world: World, at_ns: int) -> bool:
    """Whether the disk refused at that instant or later, before a crash: what waits in memory is then lost."""
    return any(
        start <= at_ns + 2 * SECOND_NS and any(b.at_ns >= start for b in world.blows) for start, _ in world.troubled_ns
    )


def _check_rows(world: World, by_call: dict[str, list[JournalEntry]], made: dict[str, Sidecar]) -> None:
    names = {s.call_id: path for path, s in made.items()}
    if len(names) != len(made):
        world.wrong("no call_id twice", str(sorted(s.call_id for s in made.values())))
    power = any(b.power for b in world.blows)
    for call_id, rows in by_call.items():
        kinds = Counter(e.kind for e in rows)
        for kind, n in kinds.items():
            if (
                n > 1
                and kind.value.startswith("call_")
                and kind.value not in ("call_queued", "call_transferred", "call_marked")
            ):
                world.wrong("one row of a kind for a call", f"{call_id}: {n} × {kind}")
        ends = [k for k in kinds if k in ENDS]
        if len(ends) != 1 and not (power and set(kinds) == {JournalKind.CALL_COMPLETE}):
            world.wrong("a call has one end", f"{call_id}: {[e.kind.value for e in rows]}")
            continue
        if power and set(kinds) == {JournalKind.CALL_COMPLETE}:
            continue  # all other rows went with the power; the sidecar says everything
        if (JournalKind.CALL_ENDED in kinds) != (JournalKind.CALL_COMPLETE in kinds):
            world.wrong("an answered call is complete", f"{call_id}: {[e.kind.value for e in rows]}")
        if JournalKind.CALL_STARTED not in kinds and not power:
            world.wrong("a call begins", f"{call_id}: {[e.kind.value for e in rows]}")
        for row in rows:
            if row.kind is JournalKind.CALL_COMPLETE:
                path = f"{SETTINGS.recordings_dir}/{row.facts['sidecar']}"
                if path not in made or made[path].call_id != call_id:
                    world.wrong("a complete call has its sidecar", f"{call_id}: {row.facts}")
    for path, sidecar in made.items():
        if not any(e.kind is JournalKind.CALL_COMPLETE for e in by_call.get(sidecar.call_id, ())):
            world.wrong("every recording is in the journal", path)


def _check_spools(world: World, made: dict[str, Sidecar]) -> None:
    ids = {s.call_id for s in made.values()}
    for name, inode in sorted(world.disk.folders.get(str(SETTINGS.spool_dir), {}).items()):
        stem, _, suffix = name.rpartition(".")
        if suffix == "damaged" and world.blows:  # killed in the write of its first record
            continue
        if suffix != "spool" or stem not in ids:
            world.wrong("every spool has its recording", name)
            continue
        data = bytes(inode.data)
        if not data.startswith(MAGIC):
            world.wrong("a spool can be read", name)


def _talked(world: World, talk: Talk) -> bool:
    """Whether a phone that picked up spoke with a living recorder for long enough that something of it must be left."""
    if not talk.connected_ns or _lost_at(world, talk.connected_ns, SPOOL_UNSYNCED_NS):
        return False
    acknowledged_ns = (
        talk.connected_ns - world.plan.weather.slowest_ns
    )  # a blow may have struck while the ACK was on its way
    blows = [b.at_ns for b in world.blows if b.at_ns > acknowledged_ns]
    return min([talk.over_ns, *blows]) - talk.connected_ns > SECOND_NS


def _check_attempt(
    world: World, attempt: Attempt, by_call: dict[str, list[JournalEntry]], made: dict[str, Sidecar]
) -> None:
    mine = [c for c, rows in by_call.items() if any(attempt.is_of(*_numbers(e)) for e in rows)]
    recordings = [(path, s) for path, s in made.items() if attempt.is_of(s.from_number, s.to_number)]
    who = f"call {attempt.number}"
    if len(mine) > len(world.lives) or len(recordings) > len(world.lives):  # its INVITE may meet another life
        world.wrong("one call is one call", f"{who}: {mine} {[p for p, _ in recordings]}")
    if not attempt.begun_ns:
        return
    lost = _lost_at(world, attempt.begun_ns, JOURNAL_UNSYNCED_NS) or _excused(world, attempt.begun_ns)
    if not mine and not lost:
        world.wrong("every call is in the journal", f"{who}, begun at {attempt.begun_ns / SECOND_NS:.3f}")
    if not attempt.ok_ns:
        if recordings and not world.blows:  # killed between the journal's line and the 200 that it speaks of
            world.wrong("only answered calls have a recording", who)
        return
    if not recordings:
        kinds = {r.kind for c in mine for r in by_call[c]}
        talked = any(_talked(world, t) for t in attempt.callees)
        if not world.plan.wide.early and not talked and kinds & set(ENDS[1:]):
            # It was answered for its prompts alone; who picks up too late, or cannot encrypt, is hung up at once, but does not
            # hear of it when the BYE is lost and the recorder killed.
            return
        if not lost and not _lost_at(world, attempt.ok_ns, JOURNAL_UNSYNCED_NS) and not _excused(world, attempt.ok_ns):
            world.wrong(
                "every answered call has its recording or a reason",
                f"{who}: {[r.kind.value for c in mine for r in by_call[c]]}",
            )
        return
    if len(recordings) == 1 and len(mine) == 1:
        _check_recording(world, attempt, *recordings[0])


def _numbers(entry: JournalEntry) -> tuple[str, str]:
    return str(entry.facts.get("from_number", "")), str(entry.facts.get("to_number", ""))


def _check_recording(world: World, attempt: Attempt, path: str, sidecar: Sidecar) -> None:
    who = f"call {attempt.number}"
    pauses = pauses_of(attempt, sidecar)

    def paused(at_ns: int) -> bool:
        return any(start <= at_ns <= end for start, end in pauses)

    heard = any(
        n > 1
        for v in attempt.voices
        for n in Counter(v.stream_of(k) for k in {k for k, at in v.heard if not paused(at)}).values()
    )  # RFC 3550 A.1: a source is believed once two packets came; one that came twice is one
    if sidecar.recording is None:
        ok = not heard or sidecar.faults or _may_be_silent(world, attempt)
        if not ok:
            world.wrong(
                "audio that came is recorded", f"{who}: no master, {[len(v.heard) for v in attempt.voices]} frames came"
            )
        return
    folder, _, name = f"{SETTINGS.recordings_dir}/{sidecar.recording.path}".rpartition("/")
    inode = world.disk.folders.get(folder, {}).get(name)
    if inode is None:
        world.wrong("a sidecar's master is there", f"{who}: {sidecar.recording.path}")
        return
    data = bytes(inode.data)
    if hashlib.sha256(data).hexdigest() != sidecar.recording.sha256:
        world.wrong("a master has its hash", f"{who}: {len(data)} bytes")
        return
    _check_spool_prefix(world, attempt, sidecar)
    _check_reports(world, attempt, sidecar)
    if sidecar.recording.encoding != "pcm16":
        frames = np.frombuffer(data, np.uint8)[-2 * sidecar.recording.n_samples :].reshape(-1, 2)
        check_audio(world, attempt, sidecar, frames)
    elif not attempt.hostile:
        world.wrong("one law in, the same law out", f"{who}: {sidecar.recording.encoding}")


def _may_be_silent(world: World, attempt: Attempt) -> bool:
    first_ns = min(at for v in attempt.voices for _, at in v.heard)
    return (
        any(first_ns > b.at_ns - (SPOOL_UNSYNCED_NS if b.power else SECOND_NS // 4) for b in world.blows)
        or attempt.hostile
    )


def _check_reports(world: World, attempt: Attempt, sidecar: Sidecar) -> None:
    """What the peers reported by RTCP of what they hear is in the recording's figures, and nobody else's."""
    told = {channel for channel in (0, 1) for at in (at for who, at in attempt.reports if who == channel) if at}
    for figures in sidecar.streams:
        if figures.peer_lost_pct is None:
            continue
        if figures.channel not in told or abs(figures.peer_lost_pct - 100 * LOST_OF_256 / 256) > 0.2:
            world.wrong("RTCP of a peer is kept as it came", f"call {attempt.number}: {figures}")
    if sidecar.recovered or world.blows or world.troubled_ns or attempt.hostile or len(attempt.voices) != 2:
        return
    # A call answered for its notice has a caller long before it has a phone: what that says before its 200 came is a stranger's.
    met_ns = min([t.connected_ns for t in attempt.callees if t.connected_ns], default=0)
    start_ns = [max(attempt.ok_ns, since_ns) + 100_000_000 for since_ns in (0, met_ns)]
    end_ns = sidecar.ended_at_ms * 1_000_000 - attempt.wall_offset_ns(recovered=sidecar.recovered) - 100_000_000
    for channel in {who for who, at in attempt.reports if start_ns[who] < at < end_ns}:
        if not any(f.channel == channel and f.peer_lost_pct is not None for f in sidecar.streams):
            world.wrong("RTCP that came is in the figures", f"call {attempt.number}, channel {channel}")


def _check_spool_prefix(world: World, attempt: Attempt, sidecar: Sidecar) -> None:
    """The spool that the recording was made of decodes, begins with whose it is, and knows of the answer."""
    inode = world.disk.folders[str(SETTINGS.spool_dir)].get(f"{sidecar.call_id}.spool")
    if inode is None:
        if not any(b.power for b in world.blows):  # its master was safe before it
            world.wrong("a recording keeps its spool", sidecar.call_id)
        return
    columns = read_columns(bytes(inode.data))
    marks = [mark for _, mark in columns.marks]
    if not marks or not isinstance(marks[0], StartedMark) or not any(isinstance(m, AnsweredMark) for m in marks):
        world.wrong("a recording's spool tells whose it is", f"call {attempt.number}: {marks[:2]}")
