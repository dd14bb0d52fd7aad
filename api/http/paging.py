"""Lists go by cursor: the next page stands in `next_cursor` and in a `Link` (RFC 8288)."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Request, Response

After = Annotated[str | None, Query(description="The cursor of the page before.", max_length=100)]
Limit = Annotated[int, Query(ge=1, le=200, description="At most so many.")]


def link_next(request: Request, response: Response, cursor: str | None) -> str | None:
    """Say where the next page is, if there is one; the same query, from the cursor on."""
    if cursor is not None:
        rest = [(name, value) for name, value in request.query_params.items() if name != "after"]
        query = urlencode([*rest, ("after", cursor)])
        response.headers["Link"] = f'<{request.url.path}?{query}>; rel="next"'
    return cursor
