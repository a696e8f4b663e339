"""The link in every message. Looking at it changes nothing: scanners follow links too.

`POST` with `List-Unsubscribe=One-Click`, as a mail program or the page's button sends it (RFC 8058,
either encoding), withdraws consent for the message's list. These two routes need no key: the token
is signed, and names one message.
"""

import html
from email.parser import BytesParser
from email.policy import HTTP
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse

from services.campaigns.domain.intervention import Intervention
from services.campaigns.domain.unsubscribe import intervention_of
from services.campaigns.handlers import customers
from services.campaigns.handlers.equipment import Tools
from services.campaigns.store import interventions
from shared.runtime.http import Ctx

router = APIRouter(prefix="/u", tags=["unsubscribe"])
TokenPath = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]

_FIELD = "List-Unsubscribe"
_BODY_BYTES_MAX = 4_096
_WORDS = {"one-click": False, "undo": True}
_PUBLIC = {"x-public": True}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body style="font-family: sans-serif; max-width: 32em; margin: 4em auto; padding: 0 1em">
<h1>{title}</h1><p>{text}</p>{form}</body></html>
"""
_FORM = """<form method="post">
<input type="hidden" name="List-Unsubscribe" value="{word}">
<button style="font-size: 1.1em; padding: .6em 1.2em">{label}</button></form>"""


@router.get("/{token}", response_class=HTMLResponse, openapi_extra=_PUBLIC)
async def show(token: TokenPath, context: Ctx) -> HTMLResponse:
    """A page with a button. Never writes."""
    tools: Tools = context.resources
    name = intervention_of(token, tools.signing_secret)
    async with context.read() as session:
        found = await interventions.by_id(session.driver, [name]) if name else {}
    if name is None or name not in found:
        return _unknown()
    return _page("Unsubscribe?", _about(found[name], "will stop"), "One-Click", "Unsubscribe")


@router.post("/{token}", response_class=HTMLResponse, openapi_extra=_PUBLIC)
async def withdraw(token: TokenPath, request: Request, context: Ctx) -> HTMLResponse:
    """Withdraws consent for the message's list, at once. Doing it again changes nothing more."""
    word = _said(request.headers.get("content-type", ""), await request.body())
    if word is None:
        return _page(
            "Nothing was changed",
            "This needs the button on the page, or your mail program's.",
            status=400,
        )
    async with context.transaction() as tx:
        one = await customers.unsubscribe(tx, token, context.clock.now(), undo=_WORDS[word])
    if one is None:
        return _unknown()
    if _WORDS[word]:
        return _page("Welcome back", _about(one, "will come again"), "One-Click", "Unsubscribe")
    return _page("You are unsubscribed", _about(one, "have stopped"), "Undo", "That was a mistake")


def _said(content_type: str, body: bytes) -> str | None:
    """What the form says, in either encoding; None when it is not such a form."""
    if content_type.startswith("multipart/form-data"):
        value = _from_parts(content_type, body)
    else:
        value = parse_qs(body[:_BODY_BYTES_MAX].decode("latin-1")).get(_FIELD, [""])[0]
    word = value.strip().lower()
    return word if word in _WORDS else None


def _from_parts(content_type: str, body: bytes) -> str:
    """The field of a multipart form, which is a MIME message without its own headers."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    message = BytesParser(policy=HTTP).parsebytes(head + body[:_BODY_BYTES_MAX])
    for part in message.walk():
        if part.get_param("name", header="content-disposition") == _FIELD:
            content = part.get_payload(decode=True)
            return content.decode("latin-1") if isinstance(content, bytes) else ""
    return ""


def _about(one: Intervention, what: str) -> str:
    return f"Messages about “{one.purpose}” by {one.channel} {what}."


def _unknown() -> HTMLResponse:
    return _page("This link is not valid", "It is not one of ours, or incomplete.", status=404)


def _page(
    title: str, text: str, word: str | None = None, label: str = "", *, status: int = 200
) -> HTMLResponse:
    form = _FORM.format(word=word, label=html.escape(label)) if word else ""
    content = _PAGE.format(title=html.escape(title), text=html.escape(text), form=form)
    return HTMLResponse(content, status, _HEADERS)
