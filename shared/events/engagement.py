"""What customers do between purchases, and what they tell about themselves."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from shared.events.envelope import (
    Amount,
    CustomerName,
    Event,
    Finite,
    Instant,
    IntakeData,
    Line,
    Name,
    Plain,
    Text,
)

MessageChannel = Literal["email", "sms", "push", "in_app", "webhook", "phone"]
FlatProperties = Annotated[dict[Name, Plain | list[Plain]], Field(max_length=200)]


class VisitData(IntakeData):
    sku: Name | None = None
    category: Name | None = None
    feature: Name | None = None
    url: Line | None = None
    duration_seconds: Annotated[Finite, Field(ge=0, le=86_400)] | None = None


class SessionStarted(Event):
    """A visit to the shop began."""

    type: Literal["session.started"] = "session.started"
    data: VisitData


class PageViewed(Event):
    """A page was looked at."""

    type: Literal["page.viewed"] = "page.viewed"
    data: VisitData


class ProductViewed(Event):
    """A product was looked at."""

    type: Literal["product.viewed"] = "product.viewed"
    data: VisitData


class FeatureUsed(Event):
    """A feature of the shop or its app was used."""

    type: Literal["feature.used"] = "feature.used"
    data: VisitData


class MessageData(IntakeData):
    message_id: Name
    channel: MessageChannel
    reason: Line | None = None
    machine: bool | None = None


class MessageDelivered(Event):
    """A message reached the customer's provider."""

    type: Literal["message.delivered"] = "message.delivered"
    data: MessageData


class MessageOpened(Event):
    """A message was opened; `machine` tells a prefetch from a person."""

    type: Literal["message.opened"] = "message.opened"
    data: MessageData


class MessageClicked(Event):
    """A link in a message was followed."""

    type: Literal["message.clicked"] = "message.clicked"
    data: MessageData


class MessageBounced(Event):
    """A message came back."""

    type: Literal["message.bounced"] = "message.bounced"
    data: MessageData


class MessageComplained(Event):
    """A message was marked as unwanted."""

    type: Literal["message.complained"] = "message.complained"
    data: MessageData


class MessageUnsubscribed(Event):
    """The customer left a list."""

    type: Literal["message.unsubscribed"] = "message.unsubscribed"
    data: MessageData


class ReviewSubmittedData(IntakeData):
    rating: Annotated[int, Field(ge=1, le=5)]
    text: Text | None = None
    sku: Name | None = None


class ReviewSubmitted(Event):
    """A review with 1 to 5 stars."""

    type: Literal["review.submitted"] = "review.submitted"
    data: ReviewSubmittedData


class SocialData(IntakeData):
    network: Name | None = None
    kind: Name | None = None
    text: Text | None = None


class SocialEngaged(Event):
    """A like, share or comment on a social network."""

    type: Literal["social.engaged"] = "social.engaged"
    data: SocialData


class CommunityPosted(Event):
    """A post in the shop's own community."""

    type: Literal["community.posted"] = "community.posted"
    data: SocialData


class SurveyAnsweredData(IntakeData):
    survey: Literal["nps", "csat"]
    score: Annotated[int, Field(ge=0, le=10)]
    text: Text | None = None


class SurveyAnswered(Event):
    """An answer to NPS (0 to 10) or CSAT (1 to 5)."""

    type: Literal["survey.answered"] = "survey.answered"
    data: SurveyAnsweredData


class ReferralMadeData(IntakeData):
    referral_code: Name
    referred_id: CustomerName | None = None


class ReferralMade(Event):
    """A customer recommended the shop to a friend."""

    type: Literal["referral.made"] = "referral.made"
    data: ReferralMadeData


class CustomerUpdatedData(IntakeData):
    """Traits. An absent trait is left as it is."""

    email: Line | None = None
    phone: Name | None = None
    name: Line | None = None
    birthday: date | None = None
    timezone: Name | None = None
    locale: Name | None = None
    country: Name | None = None
    industry: Line | None = None
    company: Line | None = None
    account_manager: Line | None = None
    acquired_at: Instant | None = None
    acquisition_channel: Name | None = None
    acquisition_cost: Amount | None = None
    annual_revenue: Amount | None = None
    consent: dict[MessageChannel, dict[Name, bool]] | None = None
    custom: FlatProperties | None = None


class CustomerUpdated(Event):
    """Traits of a customer, with consent per channel and purpose."""

    type: Literal["customer.updated"] = "customer.updated"
    data: CustomerUpdatedData


class CustomData(IntakeData):
    properties: FlatProperties = Field(default_factory=dict)


class CustomEvent(Event):
    """An event of the shop's own making, `custom.<name>`, with flat properties."""

    type: Annotated[str, Field(pattern=r"^custom\.[a-z0-9_]{1,80}$")] = "custom.*"
    data: CustomData


class CustomerMergedData(IntakeData):
    survivor_id: CustomerName
    reason: Line


class CustomerMerged(Event):
    """Two ids turned out to be one person. `subject` is the absorbed id.

    The survivor may be absorbed itself: who stands for a person is at the end of the chain. Each
    id's merges and unmerges keep their order, those of different ids do not; until all have
    arrived, chains may lead in a circle.
    """

    type: Literal["customer.merged"] = "customer.merged"
    data: CustomerMergedData


class CustomerUnmergedData(IntakeData):
    """`joins` is whom `subject` belongs to instead: its `customer.merged` follows. `together` says
    that both stay one person, for whom another id stands from now on."""

    survivor_id: CustomerName
    reason: Line
    joins: CustomerName | None = None
    together: bool | None = None


class CustomerUnmerged(Event):
    """A merge does not hold any more. `subject` is the id that was absorbed.

    It stands for itself again, unless `joins` names another. What was absorbed by it goes along.
    """

    type: Literal["customer.unmerged"] = "customer.unmerged"
    data: CustomerUnmergedData


class CustomerErasedData(IntakeData):
    erasure_id: Name


class CustomerErased(Event):
    """A person's data must go, everywhere."""

    type: Literal["customer.erased"] = "customer.erased"
    data: CustomerErasedData


ENGAGEMENT = (
    SessionStarted,
    PageViewed,
    ProductViewed,
    FeatureUsed,
    MessageDelivered,
    MessageOpened,
    MessageClicked,
    MessageBounced,
    MessageComplained,
    MessageUnsubscribed,
    ReviewSubmitted,
    SocialEngaged,
    CommunityPosted,
    SurveyAnswered,
    ReferralMade,
    CustomerUpdated,
    CustomEvent,
)
IDENTITY = (CustomerMerged, CustomerUnmerged, CustomerErased)
