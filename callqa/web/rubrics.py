"""Rubric versions by hash, parsed once a process: a version never changes."""

import logging
from collections.abc import Iterable

from callqa.errors import CallqaError
from callqa.scoring.criteria import Rubric
from callqa.store.db import Database
from callqa.store.queries.evaluate import PendingFatal
from callqa.usecases.evaluate import load_rubric_version

log = logging.getLogger(__name__)


class RubricCache:
    """rubric_hash -> Rubric."""

    def __init__(self) -> None:
        self._parsed: dict[str, Rubric] = {}

    def load(self, db: Database, rubric_hash: str) -> Rubric:
        """The version. Raise CallqaError when it is not stored or cannot be read."""
        found = self._parsed.get(rubric_hash)
        if found is None:
            with db.read() as session:
                found = load_rubric_version(session, rubric_hash)
            self._parsed[rubric_hash] = found
        return found

    def find(self, db: Database, rubric_hash: str | None) -> Rubric | None:
        """The version, or None when there is none that can be read."""
        if rubric_hash is None:
            return None
        try:
            return self.load(db, rubric_hash)
        except CallqaError as e:
            log.warning("rubric %s cannot be read: %s", rubric_hash[:12], e)
            return None

    def fatal_titles(self, db: Database, waiting: Iterable[PendingFatal]) -> dict[int | None, str]:
        """What each finding's fatal item says, by the finding's id; "" where its version cannot be read."""
        found = {}
        for each in waiting:
            rubric = self.find(db, each.evaluation.rubric_hash)
            titles = {item.fatal_id: item.title for item in rubric.fatal_items} if rubric else {}
            found[each.finding.id] = titles.get(each.finding.fatal_id, "")
        return found
