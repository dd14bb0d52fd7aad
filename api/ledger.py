"""An instance's hands in the ledger: who signs, how the log grows, and the proofs it gives."""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from api.cosigners import collect, largest_known
from api.wiring import Instance, found_log
from evidence_store.authorities import Log, acting_key
from evidence_store.errors import LedgerAlteredError, NotFoundError, SettingsError, UnavailableError
from evidence_store.identifiers import AuthorityId, Ern
from evidence_store.journal import write_journal
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.cosigning import Known
from evidence_store.ledger.note import Note
from evidence_store.ledger.policy import NONE, Policy
from evidence_store.ledger.proof import LogProof
from evidence_store.ledger.tiles import TileTree
from evidence_store.ledger_port import Head, Recorded
from evidence_store.ports import CatalogReader
from evidence_store.recording import Recorder
from evidence_store.sequencing import Sequencer, proof_of

POLICY = "policy.txt"
ALARMS = "alarms"
ALARMS_MODE = 0o700
CONTINUED = "log"
CONTINUED_SECONDS = 60.0
DIGITS = 16


@dataclass(frozen=True, slots=True)
class Receipt:
    """An event, and the proof that the log holds it; None while that is pending."""

    recorded: Recorded
    proof: LogProof | None


def recorder(instance: Instance, authority: AuthorityId | None = None) -> Recorder:
    """What signs as this authority; by default the one whose instance it is.

    Raises:
        NotFoundError: if there is no such authority.
        KeyUnavailableError: if its key is revoked or cannot be read.
        LedgerAlteredError: as `insist_continued`; nothing can be recorded then.
    """
    with suppress(UnavailableError):  # the act is kept, and waits; the log looks before it signs
        insist_continued(instance)
    log = found_log(instance.catalog, instance.signing)
    with instance.catalog.read() as reader:
        acting = authority or AuthorityId.named(reader.authority())
        kid = acting_key(reader.ledger, acting)
    return Recorder(log.origin, kid, instance.signing, instance.clock, instance.random)


def sequencer(instance: Instance) -> Sequencer:
    """What makes the log grow, under the instance's policy.

    Raises:
        SettingsError: if the policy cannot be read or names other keys than the log's.
        KeyUnavailableError: if the log's keys cannot be read.
    """
    log = found_log(instance.catalog, instance.signing)
    chosen = policy(instance.home, log)
    return Sequencer(
        catalog=instance.catalog,
        tiles=instance.tiles,
        origin=log.origin,
        signers=instance.signing.log_signers(log.origin),
        policy=chosen,
        clock=instance.clock,
        collect=partial(_collect, instance, chosen),
    )


def advance(instance: Instance) -> Head | None:
    """Let the log take in what waits. See `Sequencer.run`.

    Raises:
        LedgerAlteredError: also if a witness saw entries that are not here any more.
    """
    insist_continued(instance)
    return sequencer(instance).run()


def insist_continued(instance: Instance) -> None:
    """Insist that the log goes on from what was published of it, and from what its witnesses saw.

    To be asked before anything is recorded: a database that was rolled back must not run. It is
    looked at anew after `CONTINUED_SECONDS`. A witness that does not answer stops nobody: without
    its cosignature the act is pending. What a witness saw of another history is kept in the home.

    Raises:
        LedgerAlteredError: if the database was rolled back, or the published checkpoint altered.
        SettingsError, KeyUnavailableError: as `sequencer`.
    """
    now = time.monotonic()
    before = instance.looked_at.get(CONTINUED)
    if before is not None and now - before < CONTINUED_SECONDS:
        return
    found = sequencer(instance)
    found.insist_published()
    if any(each.url for each in found.policy.witnesses.values()):
        known = largest_known(found.policy, found.origin)
        with instance.catalog.read() as reader:
            head = reader.ledger.head()
        size = head.size if head else 0
        try:
            known.insist_continued(size, TileTree(instance.tiles.read, size).root_at)
        except LedgerAlteredError:
            _keep_seen(instance, known, head)
            raise
    instance.looked_at[CONTINUED] = now


def alarms(instance: Instance) -> Sequence[str]:
    """What is kept as evidence that the log was rolled back or split."""
    folder = instance.home / ALARMS
    return sorted(each.name for each in folder.iterdir()) if folder.exists() else ()


def _keep_seen(instance: Instance, known: Known, head: Head | None) -> None:
    """What the witnesses saw beside the state that is here, once for each that they saw."""
    folder = instance.home / ALARMS
    folder.mkdir(ALARMS_MODE, exist_ok=True)
    for witness, note in known.notes.items():
        if note is None:
            continue
        digest = hashlib.sha256(note.encode()).hexdigest()[:DIGITS]
        stem = f"{witness}-continued-{Checkpoint.of(note).size}-{digest}"
        (folder / f"{stem}.seen.note").write_bytes(note.encode())
        if head is not None and head.note is not None:
            (folder / f"{stem}.here.note").write_bytes(head.note)


def _collect(
    instance: Instance, chosen: Policy, note: Note, consistency: Callable[[int], Sequence[bytes]]
) -> Note:
    """The note with what the policy's witnesses cosigned.

    Raises:
        LedgerAlteredError: if a witness refuses it as a fork or a rollback; what it refused, and
            what it showed instead, is kept in the home as evidence.
    """
    with instance.catalog.read() as reader:
        sealed = reader.ledger.sealed_head()
    collected = collect(chosen, note, consistency, likely=sealed.size if sealed else 0)
    for alarm in collected.alarms:
        folder = instance.home / ALARMS
        folder.mkdir(ALARMS_MODE, exist_ok=True)
        stem = f"{instance.clock.now():%Y%m%dT%H%M%S%fZ}-{alarm.witness}-{alarm.kind.name.lower()}"
        (folder / f"{stem}.refused.note").write_bytes(alarm.asked.encode())
        if alarm.evidence is not None:
            (folder / f"{stem}.seen.note").write_bytes(alarm.evidence.encode())
    if collected.alarms:
        first = collected.alarms[0]
        raise LedgerAlteredError(
            f"ledger: the witness {first.witness} refuses the checkpoint: {first.kind}; what it "
            f"refused is kept in {instance.home / ALARMS}"
        )
    return collected.note


def settle(instance: Instance) -> str | None:
    """Let the log take in what waits; why that must wait, if it must. The acts are kept anyway.

    It is done once for all who ask at the same time.

    Raises:
        LedgerAlteredError: if the log refuses to be signed.
    """
    return instance.settling.run(lambda: _settled(instance))


def _settled(instance: Instance) -> str | None:
    try:
        head = advance(instance)
        write_journal(instance.catalog, instance.vault, instance.headers)
    except UnavailableError as error:
        return f"{error.code}: {error}"
    return None if head is None or head.sealed else "the policy's witnesses have not cosigned yet"


def receipts(instance: Instance, ern: Ern) -> Sequence[Receipt]:
    """An item's events, each with its proof if the log has it.

    Raises:
        NotFoundError: if there is no such item.
        LedgerAlteredError, StoreUnavailableError: if the log cannot be read.
    """
    with instance.catalog.read() as reader:
        reader.item(ern)
        return [_receipt(instance, reader, each) for each in reader.ledger.events(ern)]


def receipt(instance: Instance, ern: Ern, seq: int) -> Receipt:
    """As `receipts`, of one event.

    Raises:
        NotFoundError: also if there is no such event.
    """
    with instance.catalog.read() as reader:
        for each in reader.ledger.events(ern):
            if each.seq == seq:
                return _receipt(instance, reader, each)
    raise NotFoundError(f"{ern} has no event {seq}")


def _receipt(instance: Instance, reader: CatalogReader, event: Recorded) -> Receipt:
    if event.index is None:
        return Receipt(event, None)
    return Receipt(event, proof_of(reader.ledger, instance.tiles, event.index))


def policy(home: Path, log: Log) -> Policy:
    """The policy under which the log's states are sealed: `policy.txt`, or no witnesses at all.

    Raises:
        SettingsError: if it cannot be read, or is for another log.
    """
    path = home / POLICY
    if not path.exists():
        return Policy(dict.fromkeys(log.vkeys), {}, {}, NONE)
    try:
        found = Policy.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from error
    if set(found.logs) != set(log.vkeys):
        raise SettingsError(f"{path}: expected the keys of {log.origin}, found others")
    return found
