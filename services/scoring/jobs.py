"""What the clock starts."""

from services.scoring.handlers import fitting, reviews
from shared.runtime.service import Job

JOBS = (
    Job("review_due", 1.0, reviews.review_due, exclusive=False),
    Job("refit", 15.0, fitting.refit),
    Job("rescore", 5.0, reviews.rescore),
)
