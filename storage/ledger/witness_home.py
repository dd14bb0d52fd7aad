"""Where a witness lives: its memory, its keys, and the logs that it cosigns, in one folder.

    witness.db          what it cosigned and refused
    witness-logs.txt    a tlog-policy: the logs that it knows; their keys came from elsewhere
    keys/witness/       its two keys

It needs no instance beside it: a court registry can run a witness and nothing else. The memory
is made before the keys, so keys without a memory always mean that it was lost.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from evidence_store.errors import ConflictError, MalformedError, SettingsError
from evidence_store.ledger.note import KeyType, VerifierKey
from evidence_store.ledger.policy import NONE, Policy
from evidence_store.ledger.signing import Signer
from evidence_store.ledger.witness import Cosigner
from storage.keys import private_file
from storage.keys.witness import WitnessKeys
from storage.ledger.witness_state import SqliteWitnessState

MEMORY = "witness.db"
LOGS = "witness-logs.txt"
KEYS = Path("keys", "witness")


class WitnessHome:
    """A witness's folder."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._memory = home / MEMORY
        self._logs = home / LOGS
        self._keys = WitnessKeys(home / KEYS)

    def is_there(self) -> bool:
        """Whether there is a witness here, or a part of one."""
        return self._keys.any_made()

    def create(self, name: str) -> Sequence[VerifierKey]:
        """Make a witness; one that was cut short is made whole. Returns its public keys.

        Raises:
            ConflictError: if there is one, or one of another name was begun.
            MalformedError: if a witness cannot be called so.
            SettingsError: if its memory was lost: its keys must not be used again.
            NoSpaceError, UnavailableError: if a part cannot be made.
        """
        if self._keys.all_made():
            raise ConflictError(f"{self._home}: there is a witness already; nothing changed")
        self._home.mkdir(private_file.FOLDER_MODE, parents=True, exist_ok=True)
        with closing(self._begun(name)) as memory:
            if memory.name() != name:
                raise ConflictError(
                    f"{self._home}: a witness called {memory.name()} was begun here; use its name, "
                    "or another home"
                )
        self._keys.make()
        return [each.key for each in self._keys.signers(name)]

    def open(self) -> tuple[Cosigner, SqliteWitnessState]:
        """The witness, and its memory; close that.

        Raises:
            SettingsError: if there is no witness, or its memory was lost.
            KeyUnavailableError: if a key cannot be read.
            LedgerAlteredError, UnavailableError: if the memory cannot be relied on.
        """
        if not self._keys.any_made():
            raise SettingsError(
                f"{self._home}: there is no witness here; run `evidence witness init` first"
            )
        logs = self.logs()
        memory = SqliteWitnessState(self._memory)
        try:
            signers: Sequence[Signer] = self._keys.signers(memory.name())
        except BaseException:
            memory.close()
            raise
        return Cosigner(logs, signers, memory), memory

    def logs(self) -> Policy:
        """The logs that it cosigns; none, if none was named.

        Raises:
            SettingsError: if the file cannot be read, or is no such policy.
        """
        try:
            found = Policy.parse(self._logs.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Policy({}, {}, {}, NONE)
        except (OSError, UnicodeDecodeError, MalformedError) as error:
            raise SettingsError(f"{self._logs}: cannot be read: {error}") from error
        if found.quorum != NONE or found.witnesses:
            raise SettingsError(f"{self._logs}: expected `log` lines and `quorum none` only")
        return found

    def trust(self, keys: Sequence[VerifierKey]) -> Policy:
        """Cosign the logs with these keys from now on; returns all that it cosigns.

        Raises:
            MalformedError: if a key is one that logs do not sign with.
            SettingsError: if the file cannot be read.
            NoSpaceError, UnavailableError: if it cannot be written.
        """
        for key in keys:
            if key.type is KeyType.ED25519_COSIGNATURE:
                raise MalformedError(f"vkey {key.name}: expected a log's key, found a witness's")
        with private_file.locked(self._logs):
            known = self.logs().logs
            new = (each for each in keys if each not in known)
            policy = Policy({**known, **dict.fromkeys(new)}, {}, {}, NONE)
            private_file.replace(self._logs, str(policy).encode())
        return policy

    def _begun(self, name: str) -> SqliteWitnessState:
        """The memory: that of a witness that was cut short, or a new one."""
        try:
            return SqliteWitnessState(self._memory)
        except SettingsError:
            if self._keys.any_made():
                raise
        return SqliteWitnessState.create(self._memory, name)
