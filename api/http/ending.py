"""Ending another officer's ways in: all sessions, all tokens. For those who administer officers.

A passkey is not ended here: recovery by two officers replaces it. What an officer ends of their own
is with `api.http.signin` and `api.http.tokens`.
"""

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, Field

from api.http.caller import Caller, ForbiddenError, Registrar
from api.http.knowing import is_home
from api.http.problems import problems
from api.http.routes import Routes
from evidence_store.cooperation.registry import OfficerRole
from evidence_store.identifiers import PersonCode, Role

OfficerPath = Annotated[str, Path(examples=["OFF-0003"], max_length=32)]


class Ended(BaseModel):
    """How many counted until now, and count no more."""

    ended: int = Field(examples=[2])


def ending_routes() -> Routes:
    """The routes, under `/v1`."""
    routes = Routes(prefix="/v1", tags=["sign-in"], responses=problems())

    @routes.delete("/officers/{code}/sessions")
    def end_sessions_of(caller: Registrar, code: OfficerPath) -> Ended:
        """End all sessions of an officer. For officers of the registry, and of the own authority."""
        officer = _administered(caller, code)
        accounts = caller.instance.accounts
        return Ended(ended=accounts.end_sessions(officer, caller.instance.clock.now()))

    @routes.delete("/officers/{code}/tokens")
    def end_tokens_of(caller: Registrar, code: OfficerPath) -> Ended:
        """End all tokens of an officer. For officers of the registry, and of the own authority."""
        officer = _administered(caller, code)
        doors = caller.instance.doors
        return Ended(ended=doors.end_tokens(officer, caller.instance.clock.now()))

    return routes


def _administered(caller: Caller, code: str) -> PersonCode:
    """The officer, insisting that the caller administers them.

    Raises:
        NotFoundError: if there is no such officer.
        ForbiddenError: if the caller is no officer of the registry, here or at that authority.
    """
    officer = PersonCode.parse(code, Role.OFFICER)
    with caller.instance.catalog.read() as reader:
        entry = caller.desk.registry(reader).officer(officer)
        if OfficerRole.REGISTRY not in caller.roles or not (
            is_home(reader, caller) or entry.authority == caller.authority
        ):
            raise ForbiddenError("officer: expected one of the registry, or of the same authority")
    return officer
