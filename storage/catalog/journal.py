"""The catalog's rows as lines, by the log entries that they came with, and back into a new catalog.

A line is `{"table": …, "row": {…}}`; bytes are in base64, instants in RFC 3339. A row may come
more than once: the last one holds, and of serials and chains the greatest. Headers are left out:
they have a place of their own, from which a key can be destroyed.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, LargeBinary, Select, Table, func, insert, select, tuple_, update

from evidence_store.custody.transfer import Offer, TransferId
from evidence_store.errors import ConflictError, MalformedError
from evidence_store.item import SealedObject
from storage.catalog.dossier_reader import ACCESS, ASSIGNMENT, DOSSIER, GRANT_ITEM, POLICY, TAG
from storage.catalog.ledger_reader import (
    AUTHORITY,
    CHAIN,
    CONTROL,
    EVENT,
    HEAD,
    LEAF,
    TRANSFER,
    TRANSFER_SIDE,
    sides_of,
)
from storage.catalog.ordering import transfer_key
from storage.catalog.queries import SERIAL, parts
from storage.catalog.reader import CASE, INSTALLATION, ITEM, OBJECT, PERSON, VERSION
from storage.catalog.spelling import sealed_columns, sealed_of
from storage.catalog.tables import UtcDateTime

TABLES = {
    each.name: each
    for each in (
        INSTALLATION,
        AUTHORITY,
        CONTROL,
        SERIAL,
        CASE,
        PERSON,
        ITEM,
        OBJECT,
        VERSION,
        LEAF,
        CHAIN,
        EVENT,
        HEAD,
        TRANSFER,
        DOSSIER,
        TAG,
        GRANT_ITEM,
        ASSIGNMENT,
        ACCESS,
        POLICY,
    )
}
VERSIONS_AT_ONCE = 50
_NEW_CONTENT = ("registered", "version_added")
_GREATEST = {SERIAL.name: "next", CHAIN.name: "seq"}
_FINAL = frozenset(
    {LEAF.name, EVENT.name, CONTROL.name, POLICY.name}
)  # the database refuses to change them

Line = Mapping[str, Any]


class SqlJournalView:
    """Implements `evidence_store.journal.JournalView` on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def size(self) -> int:
        """See `JournalView.size`."""
        query = select(HEAD.c.size).order_by(HEAD.c.size.desc()).limit(1)
        return int(self._connection.execute(query).scalar() or 0)

    def lines(self, start: int, end: int) -> Iterator[Line]:
        """See `JournalView.lines`."""
        return _rows(self._connection, start, end)

    def objects(self, start: int, end: int) -> Iterator[SealedObject]:
        """See `JournalView.objects`."""
        return map(sealed_of, _objects(self._connection, start, end))


def _rows(connection: Connection, start: int, end: int) -> Iterator[Line]:
    """The rows that came with the log's entries from `start` to `end`."""
    for table in (INSTALLATION, AUTHORITY, CONTROL, SERIAL, POLICY):  # small, and the same for all
        yield from _lines(connection, table, select(table).order_by(*table.primary_key))
    leaves = select(LEAF).where(LEAF.c.place >= start, LEAF.c.place < end).order_by(LEAF.c.place)
    commitments = []
    for row in connection.execute(leaves):
        commitments.append(row.commitment)
        yield _line(LEAF, row)
    for at in range(0, len(commitments), 500):
        yield from _events(connection, commitments[at : at + 500])
    heads = select(HEAD).where(HEAD.c.size > start, HEAD.c.size <= end).order_by(HEAD.c.size)
    yield from _lines(connection, HEAD, heads)


def _objects(connection: Connection, start: int, end: int) -> Iterator[Any]:
    """The rows of the objects that came with these entries."""
    events = (
        select(EVENT.c.subject_key.label("ern_key"), EVENT.c.act, EVENT.c.body)
        .select_from(LEAF.join(EVENT, EVENT.c.commitment == LEAF.c.commitment))
        .where(LEAF.c.place >= start, LEAF.c.place < end, EVENT.c.act.in_(_NEW_CONTENT))
        .order_by(LEAF.c.place)
    )
    for pairs in _brought(connection.execute(events).all()):
        query = (
            select(OBJECT)
            .select_from(VERSION.join(OBJECT, OBJECT.c.name == VERSION.c.object_name))
            .where(tuple_(VERSION.c.ern_key, VERSION.c.number).in_(pairs))
        )
        yield from connection.execute(query).all()


def _events(connection: Connection, commitments: list[bytes]) -> Iterator[Line]:
    events = connection.execute(
        select(EVENT)
        .where(EVENT.c.commitment.in_(commitments))
        .order_by(EVENT.c.subject_key, EVENT.c.seq)
    ).all()
    keys = list(dict.fromkeys(row.subject_key for row in events))
    items = connection.execute(select(ITEM).where(ITEM.c.ern_key.in_(keys))).all()
    for table, column, values in (
        (CASE, CASE.c.case_key, {row.case_key for row in items}),
        (PERSON, PERSON.c.code_key, {row.collected_by for row in items}),
    ):
        yield from _lines(connection, table, select(table).where(column.in_(values)))
    yield from (_line(ITEM, row) for row in items)
    yield from _lines(connection, CHAIN, select(CHAIN).where(CHAIN.c.subject_key.in_(keys)))
    dossiers = set(keys) - {row.ern_key for row in items}
    for each in (DOSSIER, TAG, GRANT_ITEM, ASSIGNMENT, ACCESS):
        yield from _lines(connection, each, select(each).where(each.c.subject_key.in_(keys)))
    named = {
        _transfer(row.body)
        for row in events
        if row.act == "offered" and row.subject_key not in dossiers
    }
    yield from _lines(
        connection, TRANSFER, select(TRANSFER).where(TRANSFER.c.transfer_key.in_(named))
    )
    for pairs in _brought([row for row in events if row.act in _NEW_CONTENT]):
        query = select(VERSION).where(tuple_(VERSION.c.ern_key, VERSION.c.number).in_(pairs))
        versions = connection.execute(query).all()
        names = {version.object_name for version in versions}
        yield from _lines(connection, OBJECT, select(OBJECT).where(OBJECT.c.name.in_(names)))
        yield from (_line(VERSION, version) for version in versions)
    yield from (_line(EVENT, row) for row in events)


def _brought(events: Iterable[Any]) -> Iterator[list[tuple[str, int]]]:
    """The versions that came with these events, a few at a time: their claims can be large."""
    return parts(
        ((row[0], number) for row in events for number in _versions(row.body)),
        VERSIONS_AT_ONCE,
    )


def _transfer(body: bytes) -> str:
    return transfer_key(TransferId.parse(json.loads(body)["data"]["transfer"]))


def _versions(body: bytes) -> list[int]:
    """The versions whose digests were measured in an event."""
    measured = json.loads(body)["data"].get("measured", ())
    return [each["version"] for each in measured if "version" in each]


def _lines(connection: Connection, table: Table, query: Select[Any]) -> Iterator[Line]:
    yield from (_line(table, row) for row in connection.execute(query))


def _line(table: Table, row: Any) -> Line:  # noqa: ANN401 - a row
    content = {name: _out(value) for name, value in row._mapping.items()}  # noqa: SLF001 - public in SQLAlchemy
    if table is OBJECT:
        content["header"] = ""
    return {"table": table.name, "row": content}


def restore(
    connection: Connection, source: Iterable[Line], objects: Iterable[SealedObject]
) -> None:
    """Put the lines into empty tables, and the headers of the objects with them.

    Raises:
        ConflictError: if the tables are not empty.
        MalformedError: if a line is not one.
    """
    if connection.execute(select(INSTALLATION)).first() is not None:
        raise ConflictError("catalog: expected an empty one to restore into; nothing changed")
    for line in source:
        try:
            table = TABLES[line["table"]]
            row = {name: _in(table, name, value) for name, value in line["row"].items()}
        except (KeyError, TypeError, ValueError):
            raise MalformedError("journal: expected rows of this catalog's tables") from None
        _put(connection, table, row)
        if table is TRANSFER:  # its sides are no lines of their own: they stand in the offer
            for side in sides_of(Offer.parse(row["document"])):
                _put(connection, TRANSFER_SIDE, side)
    newest = connection.execute(select(func.max(OBJECT.c.number))).scalar() or 0
    for each in objects:
        changes = {"header": each.header, "recipient": each.recipient}
        query = update(OBJECT).where(OBJECT.c.name == each.name.value)
        if connection.execute(query.values(changes)).rowcount == 0:  # a journal's own
            newest += 1
            connection.execute(insert(OBJECT), sealed_columns(each, newest))
    _put(connection, SERIAL, {"series": "object", "next": newest + 1})


def _put(connection: Connection, table: Table, row: dict[str, Any]) -> None:
    identity = [column == row[column.name] for column in table.primary_key]
    found = connection.execute(select(table).where(*identity)).first()
    if found is None:
        connection.execute(insert(table), row)
        return
    greatest = _GREATEST.get(table.name)
    if table.name in _FINAL or (greatest and found._mapping[greatest] >= row[greatest]):  # noqa: SLF001 - as above
        return
    if table is OBJECT:
        row.pop("header")
    connection.execute(update(table).where(*identity).values(row))


def _out(value: object) -> object:
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case datetime():
            return value.isoformat()
        case _:
            return value


def _in(table: Table, name: str, value: Any) -> Any:  # noqa: ANN401 - a cell
    kind = table.c[name].type
    if value is None:
        return None
    if isinstance(kind, LargeBinary):
        return base64.b64decode(value, validate=True)
    return datetime.fromisoformat(value) if isinstance(kind, UtcDateTime) else value
