"""What a call costs in CPU time when it is not alone in its process."""

from contextlib import ExitStack

import pytest

from callqa.store.db import Database
from callqa.store.queries.transcription import newest_transcript, speech_cost
from callqa.store.tables import TranscriptRow
from callqa.usecases.cpu_share import CpuShare
from callqa.usecases.progress import Stage
from callqa.usecases.work import Work
from tests.usecases.recorded import FakeEngine
from tests.usecases.test_work import work  # noqa: F401  a fixture


class Process:
    cpu_s = 100.0

    def __call__(self) -> float:
        return self.cpu_s


def test_what_passes_while_two_are_in_work_is_shared() -> None:
    process = Process()
    share = CpuShare(process)
    process.cpu_s = 130.0  # before anybody was in work
    first, second = ExitStack(), ExitStack()
    one = first.enter_context(share.one())
    process.cpu_s = 134.0
    other = second.enter_context(share.one())
    process.cpu_s = 140.0
    first.close()
    process.cpu_s = 141.0
    second.close()
    process.cpu_s = 150.0
    assert (one.cpu_s, other.cpu_s) == (4 + 3, 3 + 1), "together the 11 s that passed"


def test_a_call_that_fails_ends_its_share() -> None:
    process = Process()
    share = CpuShare(process)
    with pytest.raises(RuntimeError), share.one():
        raise RuntimeError
    with share.one() as cost:
        process.cpu_s = 103.0
    assert cost.cpu_s == 3.0


def test_the_cost_is_kept_with_the_transcript(work: Work, db: Database) -> None:  # noqa: F811
    process = Process()

    class Costly(FakeEngine):
        """Two seconds of CPU time a window."""

        def decode(self, samples, request):
            process.cpu_s += 2.0
            return super().decode(samples, request)

    work.engine.factory, work.cpu = Costly, CpuShare(process)
    work.run_stage("C1", Stage.TRANSCRIBE)
    with db.read() as session:
        row = newest_transcript(session, "C1")
        (cost,) = speech_cost(session)
    assert row is not None and row.cpu_s == process.cpu_s - 100.0 > 0
    assert (cost.model, cost.device, cost.calls) == ("fake 1", "none", 1)
    assert cost.cpu_s_per_min == pytest.approx(row.cpu_s / row.duration_ms * 60_000)


def test_costs_are_told_by_model_and_not_of_what_people_wrote(work: Work, db: Database) -> None:  # noqa: F811
    work.run_stage("C1", Stage.TRANSCRIBE)
    with db.write() as session:
        made = newest_transcript(session, "C1")
        assert made is not None
        kept = {k: v for k, v in made.model_dump().items() if k not in ("id", "version")}
        for version, more in enumerate(
            (
                {"options": {"model": "small", "device": "cuda"}, "cpu_s": 6.0, "duration_ms": 60_000},
                {"options": {"model": "small", "device": "cuda"}, "cpu_s": 9.0, "duration_ms": 120_000},
                {"author": "leader", "cpu_s": 1000.0},
                {"cpu_s": None},
                {"duration_ms": 0, "cpu_s": 0.5},
            ),
            start=2,
        ):
            session.add(TranscriptRow(**{**kept, **more, "version": version}))
    with db.read() as session:
        small, fake = speech_cost(session)
        (last,) = speech_cost(session, newest=1)
    assert (small.model, small.device, small.calls, small.cpu_s_per_min) == ("small", "cuda", 2, 5.0)
    assert (last.model, last.calls) == ("small", 1)
    assert (fake.model, fake.calls) == ("fake 1", 1)
