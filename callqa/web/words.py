"""The words of a call as HTML, kept for the last few transcripts: a version of a transcript never changes."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

from jinja2 import Environment
from markupsafe import Markup

from callqa.store.tables import TranscriptRow, UtteranceRow


class RenderedWords:
    """(transcript, with private numbers or masked) -> HTML, least recently used out first. Safe between threads."""

    MOST = 16  # of half an hour each: some four megabytes

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int | None, bool], Markup] = OrderedDict()
        self._lock = threading.Lock()

    def render(
        self, templates: Environment, transcript: TranscriptRow, utterances: Sequence[UtteranceRow], *, shown: bool
    ) -> Markup:
        """As player.html says it. shown: private numbers too."""
        key = (transcript.id, shown)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept
        made: Markup = templates.get_template("player.html").module.transcript(utterances, transcript, shown)  # type: ignore[attr-defined]  # a macro
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > self.MOST:
                self._kept.popitem(last=False)
        return made
