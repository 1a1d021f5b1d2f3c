"""A call nobody takes, through a real recorder, its journal and ingest, becomes an entry of the work list."""

import asyncio
from pathlib import Path

from sqlmodel import select

from callqa.store.tables import MissedCallFollowup
from callqa.usecases.ingest import ingest
from tests.recorder.harness import LIMIT_S, Home, citizen, frames, make_desk, until
from tests.store_fixture import make_database


async def story(folder: Path) -> None:
    home = Home(folder, make_desk(["8001"]))  # its phone is not registered
    db = make_database(folder)
    await home.start()
    caller = await citizen()

    def missed() -> list[MissedCallFollowup]:
        ingest(db, recordings=home.settings.recordings_dir, now_ms=1)
        with db.read() as session:
            return list(session.exec(select(MissedCallFollowup)))

    try:
        call = await caller.call(home.server, "96510", frames(1, 5), caller="+8613871206358")
        assert not await asyncio.wait_for(call.answered, LIMIT_S)
        (entry,) = await until("the entry", missed)
        again = await caller.call(home.server, "96510", frames(1, 5), caller="013871206358")
        assert not await asyncio.wait_for(again.answered, LIMIT_S)
        await until("the second call in it", lambda: missed()[0].n_missed == 2)
    finally:
        await caller.close()
        home.stop()
        db.dispose()
    assert (entry.number, entry.state) == ("13871206358", "wanted")
    assert entry.reason, "why nobody answered is told"


def test_a_call_nobody_takes_is_to_be_called_back(tmp_path: Path) -> None:
    asyncio.run(story(tmp_path))
