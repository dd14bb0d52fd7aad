"""The fixity cycle's rows, within a transaction of the catalog's. Every query goes by an index."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, bindparam, insert, select, update

from evidence_store.fixity_port import Measured
from evidence_store.identifiers import DossierId, Ern, ObjectName
from storage.catalog.ordering import ern_of
from storage.catalog.queries import Queries, parts
from storage.catalog.spelling import Columns, Found
from storage.catalog.tables import SealedObjectRow, VersionRow, table_of
from storage.catalog.work_tables import FixityRow, PositionRow

FIXITY = table_of(FixityRow)
POSITION = table_of(PositionRow)
OBJECT = table_of(SealedObjectRow)
VERSION = table_of(VersionRow)
_TAKEN_IN = "fixity"
_RECORD = (
    update(FIXITY)
    .where(FIXITY.c.name == bindparam("of_name"))
    .values(
        measured_at=bindparam("new_measured_at"),
        failed=bindparam("new_failed"),
        outcome=bindparam("new_outcome"),
        code=bindparam("new_code"),
        turn=bindparam("new_turn"),
    )
)


class SqlFixityReader:
    """Implements `evidence_store.fixity_port.FixityReader`."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    def measured(self, name: ObjectName) -> Measured | None:
        """See `FixityReader.measured`."""
        query = select(FIXITY).where(FIXITY.c.name == name.value)
        found = self._queries.all(query, _measured)
        return found[0] if found else None

    def oldest(self) -> datetime | None:
        """See `FixityReader.oldest`."""
        query = select(FIXITY.c.measured_at).order_by(FIXITY.c.measured_at).limit(1)
        found: list[datetime] = self._queries.all(query, lambda row: row.measured_at)
        return found[0] if found else None

    def due(self, before: datetime, *, limit: int) -> Sequence[Measured]:
        """See `FixityReader.due`."""
        query = select(FIXITY).where(FIXITY.c.measured_at < before)
        ordered = query.order_by(FIXITY.c.measured_at, FIXITY.c.name)
        return self._queries.all(ordered.limit(limit), _measured)

    def failed(self, *, before: datetime | None = None, limit: int = 100) -> Sequence[Measured]:
        """See `FixityReader.failed`."""
        query = select(FIXITY).where(FIXITY.c.failed.is_(True))
        if before is not None:
            query = query.where(FIXITY.c.measured_at < before)
        return self._queries.all(query.order_by(FIXITY.c.measured_at).limit(limit), _measured)

    def is_behind(self) -> bool:
        """See `FixityReader.is_behind`."""
        return bool(self._queries.all(self._newcomers().limit(1), lambda row: row.number))

    def held_in(self, name: ObjectName, *, limit: int = 1000) -> Sequence[tuple[Ern, int]]:
        """See `FixityReader.held_in`."""
        query = (
            select(VERSION.c.ern_key, VERSION.c.number)
            .where(VERSION.c.object_name == name.value)
            .order_by(VERSION.c.ern_key, VERSION.c.number)
            .limit(limit)
        )
        return self._queries.all(query, lambda row: (ern_of(row.ern_key), int(row.number)))

    def _position(self) -> int | None:
        query = select(POSITION.c.position).where(POSITION.c.name == _TAKEN_IN)
        found = self._queries.all(query, lambda row: int(row.position))
        return found[0] if found else None

    def _newcomers(self) -> Select[tuple[int, str]]:
        position = self._position()
        query = select(OBJECT.c.number, OBJECT.c.name)
        query = query.where(OBJECT.c.number > (-1 if position is None else position))
        return query.order_by(OBJECT.c.number)


class SqlFixityWriter(SqlFixityReader):
    """Implements `evidence_store.fixity_port.FixityWriter`. Nothing here commits."""

    def take_in(self, now: datetime, *, limit: int) -> int:
        """See `FixityWriter.take_in`."""
        found: list[tuple[int, str]] = self._queries.all(
            self._newcomers().limit(limit), lambda row: (int(row.number), str(row.name))
        )
        if not found:
            return 0
        added: dict[str, datetime] = {}
        for part in parts(name for _, name in found):
            query = select(VERSION.c.object_name, VERSION.c.added_at)
            query = query.where(VERSION.c.object_name.in_(part))
            for name, at in self._queries.all(query, lambda row: (row.object_name, row.added_at)):
                added[name] = min(at, added.get(name, at))
        rows: list[Columns] = [
            {"name": name, "measured_at": min(now, added.get(name, now)), "failed": False}
            for _, name in found
        ]
        self._queries.insert(FIXITY, rows)
        position = found[-1][0]
        if self._position() is None:
            self._queries.run(insert(POSITION), [{"name": _TAKEN_IN, "position": position}])
        else:
            moved = update(POSITION).where(POSITION.c.name == _TAKEN_IN)
            self._queries.run(moved.values(position=position))
        return len(found)

    def record(self, found: Sequence[Measured]) -> None:
        """See `FixityWriter.record`."""
        rows: list[Columns] = [
            {
                "of_name": each.name.value,
                "new_measured_at": each.measured_at,
                "new_failed": each.failed,
                "new_outcome": each.outcome,
                "new_code": each.code,
                "new_turn": None if each.turn is None else str(each.turn),
            }
            for each in found
        ]
        if rows:
            self._queries.run(_RECORD, rows)


def _measured(row: Found) -> Measured:
    return Measured(
        name=ObjectName(row.name),
        measured_at=row.measured_at,
        failed=bool(row.failed),
        outcome=row.outcome,
        code=row.code,
        turn=None if row.turn is None else DossierId.parse(row.turn),
    )
