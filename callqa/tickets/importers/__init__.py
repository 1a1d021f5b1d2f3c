"""Files from other systems -> checked values and clear errors. A new kind of table is one file here."""

from callqa.tickets.importers.roster import RosterFile, RosterInput, read_roster
from callqa.tickets.importers.tickets import TicketFile, TicketInput, read_tickets

__all__ = ["RosterFile", "RosterInput", "TicketFile", "TicketInput", "read_roster", "read_tickets"]
