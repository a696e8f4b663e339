"""What loyalty tells: points, tiers, badges, challenges, rewards and referrals."""

from typing import Literal

from shared.events.envelope import Data, Event, Finite, Instant, Line, Name


class PointsData(Data):
    """A movement of points. `balance` is the active balance after it."""

    entry_id: Name
    points: int
    balance: int
    reason: Line
    rule: Name | None = None
    order_id: Name | None = None
    lot_id: Name | None = None
    reverses: Name | None = None
    expires_at: Instant | None = None
    active_at: Instant | None = None


class PointsPending(Event):
    """Points were earned but cannot be spent yet."""

    type: Literal["points.pending"] = "points.pending"
    data: PointsData


class PointsAwarded(Event):
    """Points were earned and can be spent."""

    type: Literal["points.awarded"] = "points.awarded"
    data: PointsData


class PointsReversed(Event):
    """Points went back because what earned them did."""

    type: Literal["points.reversed"] = "points.reversed"
    data: PointsData


class PointsRedeemed(Event):
    """Points were spent."""

    type: Literal["points.redeemed"] = "points.redeemed"
    data: PointsData


class PointsReleased(Event):
    """Reserved points were given back."""

    type: Literal["points.released"] = "points.released"
    data: PointsData


class PointsExpired(Event):
    """Points reached the end of their life."""

    type: Literal["points.expired"] = "points.expired"
    data: PointsData


class TierChangedData(Data):
    previous: Name | None = None
    current: Name
    qualifying_points: int
    reason: Line


class TierChanged(Event):
    """A member moved to another tier, or (`previous` is the same) keeps it when ids parted."""

    type: Literal["tier.changed"] = "tier.changed"
    data: TierChangedData


class BadgeEarnedData(Data):
    badge: Name


class BadgeEarned(Event):
    """A member earned a badge."""

    type: Literal["badge.earned"] = "badge.earned"
    data: BadgeEarnedData


class ChallengeData(Data):
    challenge: Name
    progress: Finite
    goal: Finite


class ChallengeProgressed(Event):
    """A member came nearer to a challenge's goal."""

    type: Literal["challenge.progressed"] = "challenge.progressed"
    data: ChallengeData


class ChallengeCompleted(Event):
    """A member reached a challenge's goal."""

    type: Literal["challenge.completed"] = "challenge.completed"
    data: ChallengeData


class RewardData(Data):
    redemption_id: Name
    reward: Name
    points: int


class RewardRedeemed(Event):
    """A member took a reward."""

    type: Literal["reward.redeemed"] = "reward.redeemed"
    data: RewardData


class RewardFulfilled(Event):
    """A reward was handed over."""

    type: Literal["reward.fulfilled"] = "reward.fulfilled"
    data: RewardData


class ReferralCompletedData(Data):
    referral_code: Name
    advocate_id: Name
    friend_id: Name


class ReferralCompleted(Event):
    """A referred friend became a customer."""

    type: Literal["referral.completed"] = "referral.completed"
    data: ReferralCompletedData


LOYALTY = (
    PointsPending,
    PointsAwarded,
    PointsReversed,
    PointsRedeemed,
    PointsReleased,
    PointsExpired,
    TierChanged,
    BadgeEarned,
    ChallengeProgressed,
    ChallengeCompleted,
    RewardRedeemed,
    RewardFulfilled,
    ReferralCompleted,
)
