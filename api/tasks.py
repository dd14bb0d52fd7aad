"""What there is to be done in the background: each piece, how often, and how it is tried again.

Witnesses are asked by the sequencer: a state of the log that they have not cosigned yet is shown to
them again each time, with growing pauses while they are away.
"""

from collections.abc import Callable, Sequence

from api import fixity, ledger, notices, stamping, webhooks
from api.leases import Keep, Task
from api.uploading import Uploading
from api.wiring import Instance
from evidence_store.errors import EvidenceError, UnavailableError

SEQUENCING_SECONDS = 2.0
UPLOADS_SECONDS = 5.0
EXPIRY_SECONDS = 60.0
STAMPS_SECONDS = 900.0
FIXITY_SECONDS = 300.0
NOTICES_SECONDS = 2.0
WEBHOOKS_SECONDS = 2.0


def all_tasks(instance: Instance, uploading: Uploading) -> Sequence[Task]:
    """Every task of an instance, in the order in which one worker begins them."""
    return (
        Task("sequencing", _each(lambda: sequence(instance)), SEQUENCING_SECONDS, 60),
        Task("uploads", _each(uploading.take_in_waiting), UPLOADS_SECONDS),
        Task("expiry", _each(lambda: expire(instance, uploading)), EXPIRY_SECONDS),
        Task("time-stamps", _each(lambda: stamp(instance)), STAMPS_SECONDS, STAMPS_SECONDS),
        Task("notices", _each(lambda: tell(instance)), NOTICES_SECONDS),
        Task("webhooks", _each(lambda: webhooks.deliver(instance)), WEBHOOKS_SECONDS),
        Task("fixity", lambda keep: read_again(instance, keep), FIXITY_SECONDS),
    )


def sequence(instance: Instance) -> None:
    """Let the log take in what waits, and its witnesses cosign.

    Raises:
        UnavailableError: if that must wait: for a store, a database, a witness.
        LedgerAlteredError: if the log refuses to be signed.
    """
    waits = ledger.settle(instance)
    if waits is not None:
        raise UnavailableError(waits)


def expire(instance: Instance, uploading: Uploading) -> None:
    """Let go of what is over: uploads, and what the doors kept for a time."""
    uploading.expire()
    instance.work.clean(instance.clock.now())


def stamp(instance: Instance) -> None:
    """Have the newest sealed state stamped by each authority that has not done so.

    Raises:
        EvidenceError: of the first authority that did not; the others were asked.
    """
    found = stamping.stamp_newest(instance)
    if any(not isinstance(each, EvidenceError) for each in found.values()):
        instance.work.set_position("time-stamp", int(instance.clock.now().timestamp()))
    for each in found.values():
        if isinstance(each, EvidenceError):
            raise each


def tell(instance: Instance) -> None:
    """Say of what is over that it is, and make messages of what happened."""
    notices.call_time(instance)
    notices.dispatch(instance)


def read_again(instance: Instance, keep: Keep) -> None:
    """Turns of the fixity cycle, until nothing is due.

    Raises:
        UnavailableError: if the store does not answer, or another goes on.
    """
    while fixity.turn(instance, keep.insist).objects:
        keep.insist()


def _each(act: Callable[[], object]) -> Callable[[Keep], object]:
    """Work that is short: it ends before its lease does."""

    def under(_: Keep) -> object:
        return act()

    return under
