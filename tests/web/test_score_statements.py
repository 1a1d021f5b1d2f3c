"""What saving, previewing and going on to the next card ask of the database: the words of a call once, for the page that shows
them."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi.testclient import TestClient
from sqlalchemy import Engine, event

from callqa.store.db import Database
from tests.web import test_evaluate
from tests.web.score_form import ScoreForm, follow

drawn, form = test_evaluate.drawn, test_evaluate.form


class Asked:
    """The statements of a stretch of time."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def __len__(self) -> int:
        return len(self.statements)

    def of(self, table: str) -> int:
        return sum(f"FROM {table} " in one for one in self.statements)


@contextmanager
def asked(db: Database) -> Iterator[Asked]:
    """Every statement any connection of this database executes meanwhile."""
    found = Asked()

    def note(connection, _cursor, statement, *_rest) -> None:
        if str(connection.engine.url) == str(db.engine.url):
            found.statements.append(" ".join(statement.split()))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


WORDS = ("utterance", "transcript", "check_result", "ticket")


def test_saving_and_previewing_read_no_words(leader: TestClient, form: ScoreForm, database: Database) -> None:
    """Every third of a second of typing asks for both: they took 22 and 38 statements when each loaded the whole page's card."""
    fields = form.fields()
    with asked(database) as preview:
        assert leader.post(f"{form.path}/preview", data=fields).status_code == 200
    with asked(database) as saved:
        assert leader.post(form.path, data=fields, headers={"X-Autosave": "1"}).status_code == 200
    for found, most in ((preview, 16), (saved, 32)):
        assert [table for table in WORDS if found.of(table)] == []
        assert 0 < len(found) <= most, found.statements


def test_going_on_reads_the_words_of_the_next_call_only(
    leader: TestClient, form: ScoreForm, database: Database
) -> None:
    """The card was loaded whole before it was submitted and after: 89 statements before the browser was sent on."""
    with asked(database) as submitted:
        answer = form.send(decision="rejected", do="submit-next")
        assert answer.status_code == 303, answer.text
    assert [table for table in WORDS if submitted.of(table)] == []
    assert 0 < len(submitted) <= 75, submitted.statements
    assert "的评分已提交" in follow(leader, answer).text
    with asked(database) as read:
        assert leader.get(form.path).status_code == 200
    assert read.of("utterance") == read.of("check_result") == 1


def test_a_refused_form_comes_back_with_the_words(leader: TestClient, form: ScoreForm) -> None:
    back = form.send({"at:S1.4:b": "半夜", "d:S1.4:b": "1"})
    assert back.status_code == 422
    assert "工号八零五" in back.text and "半夜" in back.text
