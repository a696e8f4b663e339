"""Tickets of the help desk."""

from typing import Annotated, Literal

from pydantic import Field

from shared.events.envelope import Event, IntakeData, Line, Name, Text

TicketChannel = Literal["email", "phone", "chat", "social", "web"]


class TicketMessageData(IntakeData):
    ticket_id: Name
    channel: TicketChannel
    subject: Line | None = None
    text: Text | None = None
    priority: Name | None = None
    category: Name | None = None


class TicketOpened(Event):
    """A customer asked for help."""

    type: Literal["ticket.opened"] = "ticket.opened"
    data: TicketMessageData


class TicketReplied(Event):
    """A further message in a ticket."""

    type: Literal["ticket.replied"] = "ticket.replied"
    data: TicketMessageData


class TicketResolvedData(IntakeData):
    ticket_id: Name
    satisfaction: Annotated[int, Field(ge=1, le=5)] | None = None
    text: Text | None = None


class TicketResolved(Event):
    """A ticket was closed, perhaps with the customer's satisfaction (1 to 5)."""

    type: Literal["ticket.resolved"] = "ticket.resolved"
    data: TicketResolvedData


SUPPORT = (TicketOpened, TicketReplied, TicketResolved)
