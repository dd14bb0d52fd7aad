"""How a log is founded, and how authorities' keys are registered, followed and revoked in it.

Every step is a control entry in the log itself, signed by the root key that the log's first
entry names. Founding may be repeated: what is there stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from evidence_store.errors import ConflictError, KeyUnavailableError, NotFoundError
from evidence_store.identifiers import BLINDING, ROOT, AuthorityId, KeyId, StateCode
from evidence_store.ledger import control
from evidence_store.ledger.note import VerifierKey
from evidence_store.ledger_port import Authority, Control, LedgerReader, SigningKeys
from evidence_store.ports import Catalog, CatalogWriter, Clock


class KeyMaker(SigningKeys, Protocol):
    """Signing keys that can be added to."""

    def ensure(self, kid: KeyId) -> bytes:
        """The public key, of a key that is made now unless it is there."""
        ...


@dataclass(frozen=True, slots=True)
class Log:
    """What a log's first entry says: its origin, its State, its root key and its own keys."""

    origin: str
    state: StateCode
    root: KeyId
    root_public: bytes
    vkeys: tuple[VerifierKey, ...]


def log_of(reader: LedgerReader) -> Log:
    """The log that was founded here.

    Raises:
        NotFoundError: if none was.
    """
    for found in reader.controls("genesis"):
        entry = control.ControlEntry.parse(found.entry)
        vkeys = entry.body.get("vkeys")
        return Log(
            origin=str(entry.body.get("log")),
            state=StateCode(str(entry.body.get("state"))),
            root=entry.kid,
            root_public=entry.public,
            vkeys=tuple(VerifierKey.parse(str(each)) for each in _listed(vkeys)),
        )
    raise NotFoundError("ledger: no log was founded here; run `evidence init`")


def found(
    catalog: Catalog, keys: KeyMaker, clock: Clock, origin: str, vkeys: Sequence[VerifierKey]
) -> Log:
    """Found the log, with the installation's authority as its first; or return what is there.

    Raises:
        CatalogBusyError, NoSpaceError: nothing was founded.
    """
    with catalog.write() as writer:
        if writer.ledger.controls("genesis"):
            return log_of(writer.ledger)
        root = KeyId(writer.state(), ROOT, 1)
        public = keys.ensure(root)
        entry = control.genesis(origin, writer.state(), (root, public), list(vkeys), keys.sign)
        writer.ledger.add_control(Control("genesis", entry.encode(), root, public))
        name = writer.authority()
        _appoint(writer, keys, clock, AuthorityId.named(name), name)
        return log_of(writer.ledger)


def appoint(
    catalog: Catalog,
    keys: KeyMaker,
    clock: Clock,
    name: str,
    authority: AuthorityId,
    state: StateCode | None = None,
) -> Authority:
    """Enter an authority, and register its first key; of another State, if one is given.

    Raises:
        ConflictError: if the identifier or the name is taken.
    """
    with catalog.write() as writer:
        return _appoint(writer, keys, clock, authority, name, state)


def _appoint(
    writer: CatalogWriter,
    keys: KeyMaker,
    clock: Clock,
    authority: AuthorityId,
    name: str,
    state: StateCode | None = None,
) -> Authority:
    if authority in {ROOT, BLINDING}:
        raise ConflictError(f"authority: the identifier {authority} is taken; choose another")
    made = Authority(authority, name, clock.now())
    writer.ledger.add_authority(made)
    _register(writer, keys, made, state)
    return made


def follow(catalog: Catalog, keys: KeyMaker, authority: AuthorityId) -> KeyId:
    """Register a new key for an authority, also signed by the one it follows.

    Raises:
        NotFoundError: if there is no such authority.
    """
    with catalog.write() as writer:
        return _register(writer, keys, writer.ledger.authority(authority))


def _register(
    writer: CatalogWriter, keys: KeyMaker, authority: Authority, state: StateCode | None = None
) -> KeyId:
    log = log_of(writer.ledger)
    before = [each.kid for each in writer.ledger.keys_of(authority.id) if each.kid is not None]
    of_state = before[-1].state if before else state or log.state
    kid = KeyId(of_state, authority.id, 1 + max((each.serial for each in before), default=0))
    public = keys.ensure(kid)
    revoked = {each.kid for each in writer.ledger.controls("revocation")}
    signers = [log.root, kid, *(each for each in before[-1:] if each not in revoked)]
    entry = control.registration(log.origin, authority.name, kid, public, signers, keys.sign)
    writer.ledger.add_control(Control("key", entry.encode(), kid, public))
    return kid


def revoke(
    catalog: Catalog, keys: SigningKeys, kid: KeyId, reason: str, from_index: int | None = None
) -> int:
    """Say in the log that a key does not count from an index on; by default from now on.

    Raises:
        NotFoundError: if no such key is registered.
        ConflictError: if it is revoked already, or is the root's.
    """
    with catalog.write() as writer:
        log = log_of(writer.ledger)
        if kid == log.root:
            raise ConflictError("key: the root key ends with its log; found a new log")
        if kid not in {each.kid for each in writer.ledger.keys_of(kid.authority)}:
            raise NotFoundError(f"there is no key {kid}; `evidence authority list` shows them")
        if kid in {each.kid for each in writer.ledger.controls("revocation")}:
            raise ConflictError(f"key {kid} is revoked already")
        start = writer.ledger.size() if from_index is None else from_index
        entry = control.revocation(log.origin, kid, start, reason, log.root, keys.sign)
        writer.ledger.add_control(Control("revocation", entry.encode(), kid))
        return start


def acting_key(reader: LedgerReader, authority: AuthorityId) -> KeyId:
    """The key that an authority signs with now.

    Raises:
        NotFoundError: if there is no such authority.
        KeyUnavailableError: if its keys are revoked.
    """
    reader.authority(authority)
    revoked = {each.kid for each in reader.controls("revocation")}
    usable = [
        each.kid for each in reader.keys_of(authority) if each.kid and each.kid not in revoked
    ]
    if not usable:
        raise KeyUnavailableError(
            f"authority {authority}: its key is revoked; register a new one with "
            f"`evidence authority follow {authority}`"
        )
    return max(usable, key=lambda kid: kid.serial)


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []
