"""What insights does when the clock says so."""

from services.insights import handlers
from shared.runtime.service import Job

JOBS = (Job("sweep", 600.0, handlers.sweep),)
