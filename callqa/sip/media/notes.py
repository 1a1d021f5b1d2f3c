"""What was done in a call besides talking, as its spool has it: transfers, marks from the phone, keys, calls that belong to it.

Marks that agents type in the call as RTP events are found here, since nobody reads the packets before.
Bounded: a phone that marks or dials without end fills no sidecar.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from callqa.sip.media.dtmf import Digit
from callqa.sip.media.spool import DigitMark, Mark, MarkedMark, RelatedMark, TransferredMark
from callqa.units import Channel

EACH_MOST = 500
_MARK = re.compile(r"\*13([0-9]{1,8})#", re.ASCII)
TYPING_MOST_MS = 20_000  # from the star to the hash


@dataclass(frozen=True, slots=True)
class Notes:
    """In order of time. related: call_ids."""

    transfers: tuple[TransferredMark, ...] = ()
    marks: tuple[MarkedMark, ...] = ()
    digits: tuple[DigitMark, ...] = ()
    related: tuple[str, ...] = ()

    @property
    def seat_extension(self) -> str | None:
        """The seat that a transfer brought the call to last; None where none did."""
        return next((t.seat_extension for t in reversed(self.transfers) if t.seat_extension), None)

    @property
    def sip_call_ids(self) -> tuple[str, ...]:
        """Of the legs that came by transfer."""
        return tuple(t.sip_call_id for t in self.transfers if t.sip_call_id)


def notes_of(marks: Iterable[Mark]) -> Notes:
    """Gather them."""
    found = list(marks)
    return Notes(
        tuple(m for m in found if isinstance(m, TransferredMark))[:EACH_MOST],
        tuple(m for m in found if isinstance(m, MarkedMark))[:EACH_MOST],
        tuple(m for m in found if isinstance(m, DigitMark))[:EACH_MOST],
        tuple(dict.fromkeys(m.call_id for m in found if isinstance(m, RelatedMark)))[:EACH_MOST],
    )


def typed_marks(digits: Iterable[Digit]) -> tuple[tuple[int, str], ...]:
    """(milliseconds, code) of every `*13` + code + `#` that was typed at the agent's side; the instant is the last key's."""
    keys = [d for d in digits if d.channel is Channel.AGENT and len(d.digit) == 1]
    found = _MARK.finditer("".join(d.digit for d in keys))
    typed = ((keys[m.start()].start_ms, keys[m.end() - 1].start_ms, m[1]) for m in found)
    return tuple((end_ms, code) for start_ms, end_ms, code in typed if end_ms - start_ms <= TYPING_MOST_MS)[:EACH_MOST]
