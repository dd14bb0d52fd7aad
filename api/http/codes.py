"""Every code that a problem can have: with which statuses, what it means, and what to do.

`/problems` and the OpenAPI are made from this table; a test holds it to what the product raises. A
code is stable and means one thing; where it comes with several statuses, each is listed.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explained:
    """A code's statuses, what it means, and what whoever meets it can do."""

    statuses: tuple[int, ...]
    meaning: str
    advice: str


_AGAIN = "Send the same again, after as many seconds as Retry-After says."
_OPERATOR = "Tell whoever runs the server, with the request_id."
CODES: Mapping[str, Explained] = {
    "E000": Explained(
        (500,), "An error that nobody foresaw. Nothing half-done is kept.", _OPERATOR
    ),
    "E100": Explained(
        (400, 409, 415, 422),
        "The request is not in the form that is accepted: 400 where a value says nothing here, 422 "
        "where a body or a parameter is not as the OpenAPI describes it, 409 where an upload cannot "
        "be made of these parts, 415 where a body is of another media type.",
        "Read the detail, and each entry of errors; correct that and send it again.",
    ),
    "E110": Explained((500,), "The installation is set up wrongly.", _OPERATOR),
    "E120": Explained(
        (400,), "The source is nothing that can be evidence bytes.", "Send a plain file."
    ),
    "E130": Explained(
        (422,),
        "Something that must be stated is not. All that is missing or wrong is in findings.",
        "State what is missing, or `unknown` where that is so.",
    ),
    "E200": Explained(
        (500,),
        "Stored bytes are not the bytes that were registered. None of them were given out.",
        _OPERATOR,
    ),
    "E210": Explained((500,), "A source changed while it was read.", "Send it again."),
    "E220": Explained(
        (500,), "What arrived is not what its sender listed.", "Ask the sender for what is missing."
    ),
    "E230": Explained(
        (500,),
        "The catalog's own file is damaged. What it says cannot be relied on, and nothing is done.",
        _OPERATOR,
    ),
    "E240": Explained(
        (400,),
        "A proof, a signature or a checkpoint does not hold.",
        "Do not rely on it. Ask whoever gave it for another.",
    ),
    "E250": Explained(
        (503,), "The log's own records disagree, and it refuses to sign over them.", _OPERATOR
    ),
    "E401": Explained(
        (401,),
        "Nobody has signed in, or not any more, or not with what was sent.",
        "Sign in again, or send a token that counts now.",
    ),
    "E403": Explained(
        (403,),
        "Refused: by policy (the rule is named), by the token's scopes, by the officer's role, or "
        "because the request does not come from this application's own pages.",
        "Ask somebody whose part it is; or use a token with the scope that is named.",
    ),
    "E404": Explained(
        (404,),
        "It is not there, or not for the caller to know of: the two are answered alike.",
        "Look at the identifier again, and at who is asking.",
    ),
    "E405": Explained(
        (405,), "The path is not called by this method.", "Use one of those in Allow."
    ),
    "E408": Explained(
        (408,), "The request did not come, or came too slowly.", "Send it again; an upload goes on."
    ),
    "E409": Explained(
        (409,),
        "The name is taken, somebody else wrote first, or the same is being done just now.",
        "Look at what is there now; then decide again.",
    ),
    "E410": Explained((410,), "It is over, and its content is gone.", "Begin another."),
    "E412": Explained(
        (412,),
        "It has changed since it was seen; or an upload is of another version of tus.",
        "Get it again, look at what changed, and send the change with the new ETag.",
    ),
    "E413": Explained((413,), "The body is larger than anybody needs.", "Send less at a time."),
    "E414": Explained((414,), "The query is longer than anybody needs.", "Ask for less."),
    "E415": Explained((415,), "The body is compressed.", "Send it as it is."),
    "E416": Explained((416,), "The range is outside of the content.", "Ask for another range."),
    "E422": Explained(
        (422,),
        "The Idempotency-Key was used for another request.",
        "Use a new key for a new request.",
    ),
    "E428": Explained(
        (428,),
        "A change must say of which version it is.",
        "Send If-Match with the ETag that was seen, or * for any.",
    ),
    "E429": Explained((429,), "Too many of these at a time, or in a span of time.", _AGAIN),
    "E430": Explained(
        (409,),
        "Custody does not allow this act for this item now, or not by this authority.",
        "Look at the item's custody.",
    ),
    "E431": Explained(
        (409,),
        "The step is not possible now, or not by this side or this officer.",
        "Look at where it stands, and whose turn it is.",
    ),
    "E432": Explained(
        (431,), "The head of the request has too many headers, or too large ones.", "Send fewer."
    ),
    "E460": Explained(
        (400, 460),
        "A body is not of the digest that came with it (460 where tus says so). Nothing was done.",
        "Send it again; if it fails again, compare the source with its digest.",
    ),
    "E500": Explained((503,), "No key at hand opens this content.", _OPERATOR),
    "E900": Explained((503,), "A part of the server did not do its work just now.", _AGAIN),
    "E910": Explained((503,), "The object store cannot be reached.", _AGAIN),
    "E920": Explained((503,), "The disk is full. Nothing unfinished was registered.", _OPERATOR),
    "E930": Explained((503,), "The catalog is busy, or cannot be reached.", _AGAIN),
    "E940": Explained((503,), "Another server cannot be reached, or must not be.", _AGAIN),
}
