"""Routes: found by the first words of their path, and worked on in one turn of one thread.

What a route answers, declares and lets in is as FastAPI has it. What is saved is going from thread
to thread (to authenticate, to answer, to check the answer), and comparing a path with every route.
"""

from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, TypeVar

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from api.http.caller import EXAMINES, Claim
from evidence_store.errors import MalformedError


class UnknownParameterError(MalformedError):
    """The query has a parameter that says nothing here."""

    status = 422


R = TypeVar("R", bound=BaseRoute)
WORDS = 2  # of a path, that routes are found by: `v1` and what it is about
_Key = tuple[int, tuple[str, ...]]


class Route(APIRoute):
    """A route whose function, if it waits for nothing else, is worked on in one thread.

    There the caller is examined first, then the function answers, and what it answers is checked
    against what is declared. A function gets a `Claim` from nobody: what is left is a `Caller`.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:  # noqa: ANN401 - FastAPI's own
        is_ours = isasyncgenfunction(endpoint) or isgeneratorfunction(endpoint)
        is_worked_on = not is_ours and not iscoroutinefunction(endpoint)
        setattr(self, EXAMINES, is_worked_on)
        super().__init__(path, self._worked_on(endpoint) if is_worked_on else endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI; and a parameter that nobody knows is refused, not passed over in silence."""
        handle = super().get_route_handler()
        known = sorted(_parameters(self.dependant))

        async def handler(request: Request) -> Response:
            if set(request.query_params) - set(known):
                raise UnknownParameterError(
                    f"query: expected no parameter but {', '.join(known) or 'none'}"
                )
            return await handle(request)

        # What anybody links to may come with what others add to a link.
        return handler if self.path.startswith("/v1") else handle

    def _worked_on(self, endpoint: Callable[..., Any]) -> Callable[..., Any]:
        def work(arguments: dict[str, Any]) -> Any:  # noqa: ANN401 - whatever the function answers
            for name, value in arguments.items():
                if isinstance(value, Claim):
                    arguments[name] = value.examined()
            answer = endpoint(**arguments)
            if self.response_field is None or isinstance(answer, Response):
                return answer
            checked, errors = self.response_field.validate(answer, {}, loc=("response",))
            return answer if errors else checked  # FastAPI finds the errors again, and tells them

        @wraps(endpoint)
        async def worked_on(**arguments: Any) -> Any:  # noqa: ANN401 - likewise
            return await run_in_threadpool(work, arguments)

        return worked_on


def _parameters(dependant: Dependant) -> set[str]:
    """The query parameters of a function, and of what it depends on."""
    found = {each.alias for each in dependant.query_params}
    return found.union(*(_parameters(each) for each in dependant.dependencies))


def _name_of(route: APIRoute) -> str:
    return route.name


class Routes(APIRouter):
    """Routes that are made as `Route`, and are called by their functions' names."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - FastAPI's own
        super().__init__(route_class=Route, generate_unique_id_function=_name_of, **options)


class Signpost(BaseRoute):
    """Stands before all routes, and leads to the first that takes a request, without asking all.

    Whoever is not led goes on to the routes behind it, one after another, as if it was not there.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        """Of these routes; there must be no other that one of them would have to stand behind."""
        self._ways: dict[_Key, list[APIRoute]] = defaultdict(list)
        for route in routes:
            key = _key_of_template(route.path) if isinstance(route, APIRoute) else None
            if key is not None and isinstance(route, APIRoute):
                self._ways[key].append(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """The match of the first route that takes the request whole; else none."""
        if scope["type"] == "http" and not scope.get("root_path"):
            words = scope["path"].split("/")
            for route in self._ways.get((len(words), tuple(words[1 : WORDS + 1])), ()):
                match, found = route.matches(scope)
                if match is Match.FULL:
                    return match, found
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the route that was found answer."""
        await scope["route"].handle(scope, receive, send)


def _key_of_template(path: str) -> _Key | None:
    """How many words a path of this template has, and the first; None if that is not one key."""
    words = path.split("/")
    first = words[1 : WORDS + 1]
    if ":" in path or any("{" in each for each in first):
        return None
    return len(words), tuple(first)
