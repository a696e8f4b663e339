"""The paths at which clients of Segment and RudderStack post, and what they post there."""

from services.ingest.domain.segment.calls import KINDS, Kind

# None stands for a batch, whose calls tell their own kinds. The letters are the browser's.
SHOWN: dict[str, Kind | None] = {
    **{f"/v1/{kind}": kind for kind in KINDS},
    "/v1/batch": None,
    "/v1/import": None,
    **{f"/v1/{kind[0]}": kind for kind in KINDS},
    "/v1/b": None,
    "/beacon/v1/batch": None,
}
# Where a shop posts its past.
HISTORY = frozenset({"/v1/import", "/v1/import/"})
# A redirection, which FastAPI would answer, loses the body of a POST.
POSTS: dict[str, Kind | None] = {
    **SHOWN,
    **{f"{path}/": kind for path, kind in SHOWN.items()},
}
