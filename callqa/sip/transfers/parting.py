"""The last moments of a leg whose side somebody else has taken: the phone is told how it went, then it gets its BYE."""

from callqa.sip.legs.leg import Leg
from callqa.sip.legs.leg_owner import SilentOwner
from callqa.sip.transfers.progress import Progress

TELLING_MOST_S = 2.0  # a BYE that overtakes the NOTIFY makes phones show a failed transfer


class Parting(SilentOwner):
    """Owns such a leg. progress: what its phone is being told; None: nothing."""

    def __init__(self, leg: Leg, progress: Progress | None, now: float) -> None:
        leg.owner, leg.recode, leg.on_request = self, None, None
        if progress is None:
            leg.end(now)
        else:
            leg.core.timers.at(now + TELLING_MOST_S, leg.end)
            progress.when_told(leg.end, now)
