"""The few pages for people: what this server is, and every code of a problem. No script, no sign-in.

They say nothing that is not public: the log's origin, and how anybody verifies without this server.
"""

import base64
import hashlib
from html import escape

from fastapi import Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from pydantic import BaseModel, Field

from api.http import languages
from api.http.codes import CODES
from api.http.problems import problems
from api.http.routes import Routes
from api.wiring import found_log

STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;"
    "color:#111;background:#fff}code{background:#eee;padding:0 .2em;overflow-wrap:anywhere}"
    "h2{margin-top:2rem}a{color:#00409f}@media(prefers-color-scheme:dark){body{color:#eee;"
    "background:#111}code{background:#333}a{color:#9cf}}"
)
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; frame-ancestors 'none'; "
        "base-uri 'none'; form-action 'none'"
    ),
    "Cache-Control": "public, max-age=300",
}
RIGHT_TO_LEFT = frozenset({"ar"})
FRONT = """<h1>Evidence store</h1>
<p>This server keeps evidence and its chain of custody, and shares it between States under grants.
It is used by programs and by officers who sign in; there is nothing here to browse.</p>
<h2>The log</h2>
<p>Every act is committed to a public log, which anybody can watch. Its origin is
<code>{origin}</code>.</p>
<ul>
<li><a href="/v1/log/checkpoint">The newest checkpoint</a>, signed and cosigned</li>
<li><a href="/v1/log/keys">The log's keys</a>, and <a href="/v1/log/policy">the policy</a> under which
it is sealed</li>
</ul>
<h2>To verify a package, without this server</h2>
<p>A package that a court was given is checked offline, by any of three programs. Take the log's keys
from somebody you trust, not from the package.</p>
<ul>
<li><code>evidence verify-package PACKAGE.zip</code>, of this software</li>
<li><code>verify.py</code> in the package (Python and <code>cryptography</code>)</li>
<li><code>verify.sh</code> in the package (coreutils and openssl)</li>
</ul>
<h2>For programs</h2>
<ul>
<li><a href="/v1/openapi.json">The API, as OpenAPI</a></li>
<li><a href="/problems">Every code of an error</a>, what it means, and what to do</li>
</ul>"""


class CodeView(BaseModel):
    """A code that a problem can have."""

    code: str = Field(examples=["E404"])
    title: str
    statuses: list[int] = Field(description="The HTTP statuses that it comes with.")
    meaning: str
    advice: str = Field(description="What whoever meets it can do.")


class CodeList(BaseModel):
    """Every code of a problem, in order."""

    problems: list[CodeView]


def page_routes() -> Routes:
    """The routes; these are what addresses typed by people, and links of problems, lead to."""
    routes = Routes(tags=["health"])

    @routes.get("/", response_class=HTMLResponse, include_in_schema=False)
    def front(request: Request) -> Response:
        """What this server is, and how to verify without it."""
        instance = request.app.state.instance
        origin = found_log(instance.catalog, instance.signing).origin
        text = FRONT.format(origin=escape(origin))
        return _page("Evidence store", text, languages.ENGLISH)

    @routes.get(
        "/problems",
        response_model=CodeList,
        responses={
            **problems(),
            200: {"description": "All codes.", "content": {"text/html": {"schema": _TEXT}}},
        },
    )
    def list_problems(request: Request) -> Response:
        """Every code of a problem: JSON, or a page for whoever accepts HTML."""
        language = languages.chosen(request.headers.get("accept-language", ""))
        rows = [
            CodeView(
                code=code,
                title=languages.title(code, found.statuses[0], language),
                statuses=list(found.statuses),
                meaning=found.meaning,
                advice=found.advice,
            )
            for code, found in CODES.items()
        ]
        if "text/html" not in request.headers.get("accept", ""):
            said = {"Vary": "Accept, Accept-Language", "Content-Language": language}
            body = CodeList(problems=rows).model_dump_json()
            return Response(body, headers=said, media_type="application/json")
        texts = [
            f'<h2 id="{each.code}">{each.code} {_title(each, language)}</h2>'
            f"<p>HTTP {', '.join(map(str, each.statuses))}. {escape(each.meaning)}</p>"
            f"<p>What to do: {escape(each.advice)}</p>"
            for each in rows
        ]
        text = "<h1>Problems</h1><p>What each code of an error means.</p>" + "".join(texts)
        return _page("Problems", text, languages.ENGLISH)

    @routes.get("/robots.txt", response_class=PlainTextResponse, include_in_schema=False)
    def robots() -> Response:
        """Nothing here is for a search engine."""
        return PlainTextResponse("User-agent: *\nDisallow: /\n")

    @routes.get("/favicon.ico", response_class=Response, include_in_schema=False)
    def icon() -> Response:
        """None; browsers ask for one all the same."""
        return Response(status_code=204, headers={"Cache-Control": "public, max-age=86400"})

    return routes


def _title(row: CodeView, language: str) -> str:
    """A title, marked with its language where it is not the page's."""
    if row.title == languages.title(row.code, row.statuses[0], languages.ENGLISH):
        return escape(row.title)
    direction = ' dir="rtl"' if language in RIGHT_TO_LEFT else ""
    return f'<span lang="{language}"{direction}>{escape(row.title)}</span>'


_TEXT = {"type": "string"}


def _page(title: str, body: str, language: str) -> Response:
    text = (
        f'<!DOCTYPE html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>"
    )
    said = {**HEADERS, "Vary": "Accept, Accept-Language", "Content-Language": language}
    return HTMLResponse(text, headers=said)
