"""What was done in a call besides talking, as its spool has it: transfers, marks from the phone, keys, calls that belong to it.

Bounded: a phone that marks or dials without end fills no sidecar.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from callqa.sip.media.spool import DigitMark, Mark, MarkedMark, RelatedMark, TransferredMark

EACH_MOST = 500


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
