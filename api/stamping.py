"""Which time-stamp authorities this instance asks, and the stamps on its log's checkpoints.

`time-stamps.toml` in the home lists them; a stamp lies beside the tiles, for everybody. Nothing
waits for an authority: one that is down is asked again the next time.
"""

import tomllib
from collections.abc import Sequence

from api.wiring import Instance
from evidence_store.errors import EvidenceError, NotFoundError, SettingsError
from evidence_store.package.layout import stamp_path
from ingest.timestamping import StampAuthority, TimeStamp, request_stamp

FILE = "time-stamps.toml"


def authorities(instance: Instance) -> Sequence[StampAuthority]:
    """The authorities of this instance; none unless the file lists some.

    Raises:
        SettingsError: if the file is not as it should be.
    """
    path = instance.home / FILE
    if not path.exists():
        return ()
    try:
        listed = tomllib.loads(path.read_text(encoding="utf-8"))["authority"]
        return [
            StampAuthority(
                name=str(each["name"]),
                url=str(each["url"]),
                roots=(instance.home / str(each["roots"])).read_bytes(),
            )
            for each in listed
        ]
    except (KeyError, TypeError, OSError, ValueError, EvidenceError) as error:
        raise SettingsError(
            f"{path}: expected [[authority]] with name, url and roots (a PEM file): {error}"
        ) from error


def stamp_newest(instance: Instance) -> dict[str, TimeStamp | EvidenceError]:
    """Have the newest sealed checkpoint stamped by each authority that has not done so yet."""
    with instance.catalog.read() as reader:
        head = reader.ledger.sealed_head()
    found: dict[str, TimeStamp | EvidenceError] = {}
    for authority in authorities(instance):
        if head is None or head.sealed is None or _has(instance, head.size, authority.name):
            continue
        try:
            stamp = request_stamp(authority, head.sealed)
            path = stamp_path(head.size, authority.name)
            # What one tool alone accepts is kept, and relied on by nobody.
            name = path if stamp.confirmed else f"{path}.unconfirmed"
            instance.tiles.write({name: stamp.answer})
            found[authority.name] = stamp
        except EvidenceError as error:
            found[authority.name] = error
    return found


def _has(instance: Instance, size: int, name: str) -> bool:
    try:
        instance.tiles.read(stamp_path(size, name))
    except NotFoundError:
        return False
    return True
