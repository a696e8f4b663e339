"""What ingest does by itself as time goes by."""

from services.ingest.handlers import plans, refusals
from shared.runtime.service import Job

JOBS = (
    Job("forget_rejections", 60.0, refusals.forget),
    Job("forget_plan_counts", 3_600.0, plans.forget),
)
