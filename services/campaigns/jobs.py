"""What the clock starts. Sending is shared by all replicas; the rest is the leader's."""

from services.campaigns.handlers import identity, sending, timers
from shared.runtime.service import Job

JOBS = (
    Job("send_due", 0.5, sending.send_due, exclusive=False),
    Job("wake", 1.0, timers.wake),
    Job("forget_mail", 60.0, identity.forget_mail),
    Job("forget_orders", 3_600.0, timers.forget_orders),
)
