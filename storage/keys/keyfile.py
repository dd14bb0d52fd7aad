"""The default keyring: a key file, which the stock age program can use too.

    age -d -i keys/evidence.key -o content FILE.age

It is an age identity file, or one that is itself an age file under a passphrase.
Whoever holds it can open everything sealed to it, and without it or a backup
nothing can be opened again. It is read when a key is first needed.
"""

import os
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Self

from evidence_store.age.file import open_file, seal_file
from evidence_store.age.file_key import FILE_KEY_BYTES
from evidence_store.age.header import VERSION_LINE, open_header, seal_header
from evidence_store.age.scrypt import WORK_FACTOR, ScryptIdentity, ScryptRecipient
from evidence_store.age.x25519 import X25519Identity, X25519Recipient
from evidence_store.errors import (
    ConflictError,
    FixityError,
    KeyUnavailableError,
    MalformedError,
)
from evidence_store.ports import Randomness
from storage.keys import private_file
from storage.keys.identities import Entry, Identities

Passphrase = Callable[[], bytes]


def _now() -> datetime:
    return datetime.now(tz=UTC)


class KeyFile:
    """Implements `evidence_store.ports.Keyring`. Safe to use from several threads.

    `recipients` are more keys that every header is wrapped to, such as one whose secret half
    lies in a safe. `passphrase` is asked for when a protected file is read or made, and never
    when one is read that is not protected. Nothing here prompts.

    Everything that needs a key raises KeyUnavailableError if the file is missing, damaged or
    locked, and SettingsError if it is not private (see `private_file.read`). What another
    process adds meanwhile is not seen until this one starts again.
    """

    def __init__(
        self,
        path: Path,
        passphrase: Passphrase | None = None,
        *,
        recipients: Sequence[X25519Recipient] = (),
        random: Randomness = secrets.token_bytes,
        now: Callable[[], datetime] = _now,
        work_factor: int = WORK_FACTOR,
    ) -> None:
        self.path = path
        self._passphrase = passphrase
        self._more_recipients = tuple(recipients)
        self._random = random
        self._now = now
        self._work_factor = work_factor
        self._lock = Lock()
        self._identities: Identities | None = None

    # ---------------------------------------------------------------- the port

    @property
    def recipient(self) -> str:
        """See `Keyring.recipient`."""
        return str(self._loaded().current.recipient)

    def wrap(self, file_key: bytes) -> bytes:
        """See `Keyring.wrap`."""
        recipients = dict.fromkeys((self._loaded().current.recipient, *self._more_recipients))
        return seal_header(file_key, tuple(recipients), self._random)

    def is_current(self, header: bytes) -> bool:
        """See `Keyring.is_current`."""
        current = self._loaded().current
        try:
            open_header(header, [current])
        except (KeyUnavailableError, MalformedError, FixityError):
            return False
        return True

    def unwrap(self, header: bytes) -> bytes:
        """See `Keyring.unwrap`."""
        return open_header(header, self._loaded().all)

    # ---------------------------------------------------------------- the file

    @property
    def recipients(self) -> Sequence[str]:
        """The public names of the identities in the file: all that it can open for."""
        return [str(identity.recipient) for identity in self._loaded().all]

    def create(self) -> Self:
        """Make the file, with one identity, protected if there is a passphrase.

        Raises:
            ConflictError: if there is a file already; it is left as it is.
            MalformedError: if the passphrase is empty.
            NoSpaceError, UnavailableError: if it cannot be written.
        """
        with self._lock, private_file.locked(self.path):
            _refuse_existing(self.path)
            passphrase = None if self._passphrase is None else self._passphrase()
            entry = Entry.fresh(X25519Identity.generate(self._random), self._now())
            self._replace(Identities((entry,)), passphrase)
        return self

    def load(self) -> Self:
        """Read the file as it is now, rather than when a key is first needed."""
        self._fresh()
        return self

    def add_identity(self) -> str:
        """Add an identity and make it the current one; returns its recipient.

        The others stay, retired, because headers that are wrapped to them are in the catalog and
        in its backups. The file stays protected, or not, as it was.

        Raises:
            NoSpaceError, UnavailableError: if it cannot be written; it is as it was.
        """
        with self._lock, private_file.locked(self.path):
            found, passphrase = self._read()  # as it is now: somebody may have added one
            identity = X25519Identity.generate(self._random)
            self._replace(found.with_current(identity, self._now()), passphrase)
        return str(identity.recipient)

    def back_up(self, path: Path, passphrase: Passphrase) -> None:
        """Write a copy to `path`, under a passphrase of its own, and open it again to be sure.

        The copy is a key file too: in the place of a lost one it works as it is.

        Raises:
            ConflictError: if there is something at `path`; it is left as it is.
            FixityError: if what is read back is not what was written; try another medium.
            MalformedError: if the passphrase is empty.
            NoSpaceError, SettingsError, UnavailableError: if it cannot be written.
        """
        _refuse_existing(path)
        content, secret = bytes(self._fresh()), passphrase()
        private_file.write_new(path, self._protected(content, secret))
        if open_file(private_file.read_back(path), [ScryptIdentity(secret)]) != content:
            raise FixityError(what=f"{path}", expected="the copy just written", found="another")

    def check(self) -> None:
        """Insist that the file is private and that every key in it opens what is sealed to it.

        Raises:
            KeyUnavailableError: also if a key does not open what was sealed to it just now.
            SettingsError: also if others may write in the file's folder.
        """
        identities = self._fresh().all
        private_file.refuse_open_folder(self.path)
        file_key = self._random(FILE_KEY_BYTES)
        headers = [
            seal_header(file_key, [identity.recipient], self._random) for identity in identities
        ]
        for header in (self.wrap(file_key), *headers):
            if self.unwrap(header) != file_key:
                raise KeyUnavailableError(
                    f"{self.path}: a key opened something else than was sealed"
                )

    # ------------------------------------------------------------------- inside

    def _loaded(self) -> Identities:
        with self._lock:
            if self._identities is None:
                self._identities, _ = self._read()
            return self._identities

    def _fresh(self) -> Identities:
        with self._lock:
            self._identities, _ = self._read()
            return self._identities

    def _read(self) -> tuple[Identities, bytes | None]:
        """What is in the file now, and the passphrase that protects it."""
        content = private_file.read(self.path)
        passphrase = self._asked() if content.startswith(VERSION_LINE) else None
        try:
            if passphrase is not None:
                content = open_file(content, [ScryptIdentity(passphrase)])
            return Identities.parse(content), passphrase
        except KeyUnavailableError as error:
            raise KeyUnavailableError(
                f"{self.path}: expected the passphrase of the key file, found another"
            ) from error
        except (MalformedError, FixityError) as error:
            # Not passed on as they are: they would speak of evidence, and it may be intact.
            raise KeyUnavailableError(
                f"{self.path}: the key file is damaged ({error}); restore it from a backup"
            ) from error

    def _asked(self) -> bytes:
        passphrase = None if self._passphrase is None else self._passphrase()
        if not passphrase:
            raise KeyUnavailableError(
                f"{self.path}: the key file has a passphrase, and none was given"
            )
        return passphrase

    def _replace(self, identities: Identities, passphrase: bytes | None) -> None:
        content = bytes(identities)
        if passphrase is not None:
            content = self._protected(content, passphrase)
        private_file.replace(self.path, content)
        self._identities = identities

    def _protected(self, content: bytes, passphrase: bytes) -> bytes:
        recipient = ScryptRecipient(passphrase, self._work_factor)
        return seal_file(content, [recipient], self._random)


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise ConflictError(f"{path}: expected nothing, found a file; it was left as it is")
