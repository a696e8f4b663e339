"""What insights does when the clock says so."""

from services.insights import handlers
from shared.runtime.service import Job

JOBS = (Job("recount", 1.0, handlers.recount), Job("sweep", 600.0, handlers.sweep))
