"""What the clock starts. An idle look for due deliveries is one indexed query."""

from services.webhooks.handlers.backlog import release_backlogs
from services.webhooks.handlers.deliver import deliver_due
from services.webhooks.handlers.retention import forget_old
from shared.runtime.service import Job

JOBS = (
    Job("deliver_due", 0.1, deliver_due, exclusive=False),
    Job("release_backlogs", 1.0, release_backlogs),
    Job("forget_old", 60.0, forget_old),
)
