"""The composition root: the one place that knows which adapter serves which port.

An adapter is loaded when it is needed: the databases' libraries and the S3 SDK take a quarter
of a second each.
"""

import os
import secrets
import stat
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api import settings as configuration
from api.absent_store import AbsentStore
from api.settings import Settings
from api.shared_runs import SharedRuns
from evidence_store.accounts import AccountStore
from evidence_store.age.x25519 import X25519Recipient
from evidence_store.authorities import Log, found, log_of
from evidence_store.background import WorkStore
from evidence_store.doors import DoorStore
from evidence_store.errors import (
    ConflictError,
    MalformedError,
    NotFoundError,
    SettingsError,
    StoreUnavailableError,
)
from evidence_store.identifiers import AuthorityId, StateCode
from evidence_store.journal import HeaderStore, read_headers, read_journal
from evidence_store.ledger_port import TileStore
from evidence_store.moment import Moment
from evidence_store.ports import Clock, ObjectStore, Randomness
from evidence_store.rewrap import Kept
from evidence_store.sequencing import regrow
from evidence_store.vault import Vault
from ingest.extraction.supervisor import Extractor, Limits
from storage.keys.keyfile import KeyFile
from storage.keys.signing import SigningFolder
from storage.ledger.files import TileFolder
from storage.ledger.headers import HeaderFolder
from storage.objects.filesystem import FilesystemObjectStore

if TYPE_CHECKING:
    from minio import Minio

    from storage.catalog import SqlCatalog
    from storage.ledger.witness_home import WitnessHome
    from storage.objects.s3 import S3ObjectStore
    from storage.objects.s3_lock import LockMode
    from storage.uploads.bucket import UploadBucket
    from storage.uploads.segments import UploadFolder

T = TypeVar("T")
__all__ = ["Instance", "KeyFile", "Passphrase"]
PRIVATE = 0o700
SIGNING = Path("keys", "signing")
LEDGER = Path("ledger")
HEADERS = Path("headers")
UPLOADS = Path("uploads")
DELIVERIES = Path("deliveries")
ORIGIN_HOST = "evidence-log.invalid"  # reserved (RFC 6761): a name, not an address
CREDENTIAL_MODE = 0o440
EXERCISE_HOST = f"exercise.{ORIGIN_HOST}"
Passphrase = Callable[[], bytes]
FieldKey = Ed25519PrivateKey


class SystemClock:
    """Implements `evidence_store.ports.Clock`."""

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.now(tz=UTC)


class ExerciseClock:
    """Implements `evidence_store.ports.Clock`: an exercise's own time, which its leader sets."""

    def __init__(self, start: datetime) -> None:
        self._offset = start - datetime.now(tz=UTC)

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.now(tz=UTC) + self._offset


@dataclass(frozen=True, slots=True)
class Instance:
    """What one State's or institution's instance is made of."""

    home: Path
    settings: Settings
    catalog: "SqlCatalog"
    objects: ObjectStore
    keyring: KeyFile
    clock: Clock
    signing: SigningFolder
    tiles: TileStore
    headers: HeaderStore
    settling: SharedRuns[str | None] = field(default_factory=SharedRuns)
    looked_at: dict[str, float] = field(default_factory=dict, repr=False, compare=False)
    """When something was last looked at that need not be at each act: `time.monotonic`."""

    @property
    def vault(self) -> Vault:
        """The one way to evidence bytes."""
        return Vault(self.objects, self.keyring, self.random)

    @property
    def random(self) -> Randomness:
        """Where keys and salts come from."""
        return secrets.token_bytes

    @property
    def accounts(self) -> AccountStore:
        """Officers' ways in, and their sessions."""
        from storage.catalog.accounts import SqlAccountStore

        return SqlAccountStore(self.catalog.engine)

    @property
    def uploads(self) -> "UploadFolder | UploadBucket":
        """Where uploads under way lie, sealed: beside the headers, where nothing is locked."""
        if self.settings.objects == "s3":
            return _upload_bucket(self.home, self.settings)
        from storage.uploads.segments import UploadFolder

        return UploadFolder(self.home / UPLOADS)

    @property
    def deliveries(self) -> "UploadFolder":
        """Where packages lie that peers delivered, sealed: each a whole age file."""
        from storage.uploads.segments import UploadFolder

        return UploadFolder(self.home / DELIVERIES)

    @property
    def doors(self) -> DoorStore:
        """What the doors keep: tokens, uploads, leases."""
        from storage.catalog.doors import SqlDoorStore

        return SqlDoorStore(self.catalog.engine)

    @property
    def wrapped_rows(self) -> Sequence[Kept]:
        """The rows whose secrets are sealed to the keyring, beside the objects."""
        from storage.catalog.wrapped import wrapped_rows

        return wrapped_rows(self.catalog.engine)

    @property
    def work(self) -> WorkStore:
        """What background work keeps."""
        from storage.catalog.work import SqlWorkStore

        return SqlWorkStore(self.catalog.engine)

    @property
    def tokens_sign_for_officers(self) -> bool:
        """Whether a token may do what officers must sign by hand; unless set, in exercises only."""
        stated = self.settings.tokens_sign_for_officers
        if stated is not None:
            return stated
        with self.catalog.read() as reader:
            return reader.is_exercise()

    def close(self) -> None:
        """Let go of the catalog's connections."""
        self.catalog.close()


def open_instance(home: Path, ask: Passphrase, *, without_store: bool = False) -> Instance:
    """The instance in `home`. `ask` is called for a passphrase when a key is first needed.

    With `without_store` it opens also where its object store is gone, to look at the rest.

    Raises:
        SettingsError: if there is none, or its settings are wrong.
        DamagedError: if the catalog's file is damaged.
        CatalogBusyError, StoreUnavailableError: if a part of it does not answer.
    """
    from storage.catalog import open_catalog, revision_of

    settings = configuration.load(home)
    url = database_url(home, settings)
    if not home.is_dir() or revision_of(url) is None:
        raise SettingsError(f"{home}: there is no instance here; run `evidence init` first")
    keyring = key_file(home, settings, ask)
    catalog = open_catalog(url, busy_seconds=settings.database_busy_seconds)
    with catalog.read() as reader:
        clock = _clock(exercise=reader.is_exercise())
    try:
        objects = _object_store(home, settings)
    except StoreUnavailableError as error:
        if not without_store:
            raise
        objects = AbsentStore(str(error))
    return Instance(
        home=home,
        settings=settings,
        catalog=catalog,
        objects=objects,
        keyring=keyring,
        clock=clock,
        signing=SigningFolder(home / SIGNING, keyring),
        tiles=_tiles(home, settings),
        headers=_headers(home, settings),
    )


def _clock(*, exercise: bool) -> Clock:
    """The time: the system's, or in an exercise the one that is set for it.

    Raises:
        SettingsError: if one is set for what is no exercise, or is no time.
    """
    stated = os.environ.get(configuration.EXERCISE_NOW_VARIABLE)
    if stated is None:
        return SystemClock()
    what = configuration.EXERCISE_NOW_VARIABLE
    if not exercise:
        raise SettingsError(f"{what}: is for exercises only; this instance is none")
    try:
        start = Moment.parse(stated).earliest
    except MalformedError as error:
        raise SettingsError(f"{what}: {error}") from None
    if start is None:
        raise SettingsError(f"{what}: expected a time")
    return ExerciseClock(start)


def start_extractor(home: Path) -> Extractor:
    """A fresh pool of isolated processes; close it.

    It needs nothing else of the instance, so that it can start while that is loaded.

    Raises:
        SettingsError: if the settings are wrong.
    """
    settings = configuration.load(home)
    limits = Limits(wall_seconds=settings.extraction_seconds)
    return Extractor(workers=settings.extraction_workers, limits=limits)


def create_instance(
    home: Path,
    state: StateCode,
    authority: str,
    passphrase: Passphrase | None,
    *,
    exercise: bool = False,
) -> KeyFile:
    """Make an instance: home, keys, object store, catalog and log; returns its key file.

    What is made for an exercise says so in the name of its log, for ever.

    The catalog makes it an instance, so one that was cut short is made whole by a second call.

    Raises:
        ConflictError: if there is an instance already; nothing is changed.
        SettingsError, NoSpaceError, UnavailableError: if a part cannot be made.
    """
    from storage.catalog import create_catalog

    settings = configuration.load(home)
    url = database_url(home, settings)
    _refuse_existing(url, home)
    home.mkdir(PRIVATE, parents=True, exist_ok=True)
    keys = key_file(home, settings, passphrase)
    if not keys.path.exists():
        keys.create()
    keys.check()
    _create_object_store(home, settings)
    clock = _clock(exercise=exercise)
    now = clock.now()
    busy_seconds = settings.database_busy_seconds
    AuthorityId.named(authority)  # refused now rather than when the catalog is there
    with closing(
        create_catalog(url, state, authority, now, exercise=exercise, busy_seconds=busy_seconds)
    ) as catalog:
        found_log(catalog, SigningFolder(home / SIGNING, keys), clock)
    return keys


def found_log(catalog: "SqlCatalog", signing: SigningFolder, clock: Clock | None = None) -> Log:
    """The catalog's log; founded now if it never was, or was cut short.

    Raises:
        KeyUnavailableError: if the key file cannot be opened.
        CatalogBusyError, NoSpaceError: nothing was founded.
    """
    with catalog.read() as reader:
        if reader.ledger.controls("genesis"):
            return log_of(reader.ledger)
        state, authority = reader.state(), AuthorityId.named(reader.authority())
        host = EXERCISE_HOST if reader.is_exercise() else ORIGIN_HOST
    origin = f"{host}/{str(state).lower()}/{authority}/{secrets.token_hex(4)}"
    vkeys = [each.key for each in signing.log_signers(origin)]
    return found(catalog, signing, clock or SystemClock(), origin, vkeys)


def migrate_catalog(home: Path) -> tuple[str | None, str | None]:
    """Bring the catalog's tables up to date; returns the revisions before and after.

    Raises:
        SettingsError: if there is no instance in `home`.
        CatalogBusyError: if the database does not answer or somebody is writing.
    """
    from storage.catalog import migrate, revision_of

    settings = configuration.load(home)
    url = database_url(home, settings)
    if not home.is_dir() or revision_of(url) is None:
        raise SettingsError(f"{home}: there is no instance here; run `evidence init` first")
    return migrate(url, busy_seconds=settings.database_busy_seconds)


def rebuild_catalog(home: Path, ask: Passphrase) -> bool:
    """Make the catalog and the log's files anew from the object store, the headers and the keys.

    Files of the log that are there must be those that are made. Returns whether there was a
    published checkpoint: without one, the newest that the journal holds is published, and what the
    log took in after that, if anything, is known to witnesses only.

    Raises:
        ConflictError: if there is a catalog; nothing changed.
        FixityError, NotFoundError, KeyUnavailableError: if what it is made from is not whole.
        LedgerAlteredError: if it does not lead to the log's own state, or the log's files are others.
            Nothing of a catalog is left, so it can be tried again.
        StoreUnavailableError, NoSpaceError: if a part does not answer.
    """
    from storage.catalog import create_empty

    settings = configuration.load(home)
    keyring = key_file(home, settings, ask)
    vault = Vault(_object_store(home, settings), keyring, secrets.token_bytes)
    headers = _headers(home, settings)
    if next(headers.batches(), None) is None:
        raise NotFoundError("headers: there are none, so there is nothing to rebuild from")
    url = database_url(home, settings)
    tiles = _tiles(home, settings)
    with closing(create_empty(url, busy_seconds=settings.database_busy_seconds)) as catalog:
        lines, objects = read_journal(vault, headers), read_headers(headers)
        with catalog.restoring(lines, objects) as reader:
            regrow(reader.ledger, tiles)
            newest = reader.ledger.sealed_head()
        published = tiles.checkpoint() is not None
        if not published and newest is not None and newest.sealed is not None:
            tiles.publish(newest.sealed)
    return published


def field_key(path: Path, passphrase: bytes | None, *, new: bool = False) -> FieldKey:
    """The key that a kit seals with in the field, made now if `new`; it needs no instance beside it.

    Raises:
        ConflictError: if a new one is wanted and there is something; it is left as it is.
        KeyUnavailableError, SettingsError, NoSpaceError, UnavailableError: as `storage.keys.field`.
    """
    from storage.keys import field

    return field.make(path, passphrase) if new else field.load(path, passphrase)


def witness_home(home: Path) -> "WitnessHome":
    """Where a witness lives; it needs no instance beside it."""
    from storage.ledger.witness_home import WitnessHome

    return WitnessHome(home)


def key_file(home: Path, settings: Settings, passphrase: Passphrase | None) -> KeyFile:
    """The key file. Its passphrase comes from the configured file, else from `passphrase`.

    Raises:
        MalformedError: if a configured recipient is not one.
    """
    file = settings.key_passphrase_file
    ask = passphrase if file is None else lambda: read_passphrase(home / file)
    return KeyFile(
        home / settings.key_file,
        None if ask is None else cache(ask),  # nobody is asked twice for the same file
        recipients=[X25519Recipient.parse(each) for each in settings.key_recipients],
    )


def database_url(home: Path, settings: Settings) -> str:
    """The catalog's URL, with its password if that is in a file of its own.

    Raises:
        SettingsError: if the file cannot be read.
    """
    if settings.database_url is None:
        return f"sqlite:///{home / 'catalog.db'}"
    if settings.database_password_file is None:
        return settings.database_url
    from storage.catalog import with_password

    password = read_secret(home / settings.database_password_file).decode()
    return with_password(settings.database_url, password)


def read_secret(file: Path) -> bytes:
    """A secret that is the content of a file, without a line's end.

    Raises:
        SettingsError: if it cannot be read.
    """
    try:
        return file.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise SettingsError(f"{file}: a secret cannot be read: {error.strerror}") from error


def read_passphrase(file: Path) -> bytes:
    """A passphrase that is the content of a file that is nobody else's to read.

    Raises:
        SettingsError: if it cannot be read, or is open to others. Mode 0440 is let pass: so
            systemd hands a credential to its unit, with the others kept out by an access list.
    """
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError as error:
        raise SettingsError(f"{file}: a passphrase cannot be read: {error.strerror}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO) and mode != CREDENTIAL_MODE:
        raise SettingsError(
            f"{file}: expected a passphrase that only its owner may read, found mode {mode:04o}; "
            f"if nobody else read it, run: chmod 600 {file}"
        )
    return read_secret(file)


def _refuse_existing(url: str, home: Path) -> None:
    from storage.catalog import open_catalog, revision_of

    if revision_of(url) is None:
        return
    with closing(open_catalog(url)) as catalog, catalog.read() as reader:
        try:
            state = reader.state()
        except NotFoundError:
            return  # cut short before it belonged to anybody
    raise ConflictError(f"{home}: there is an instance of {state} here already; nothing changed")


def _object_store(home: Path, settings: Settings) -> ObjectStore:
    if settings.objects == "s3":
        return _s3(home, settings)
    return FilesystemObjectStore(home / settings.objects_root)


def _create_object_store(home: Path, settings: Settings) -> None:
    if settings.objects == "filesystem":
        FilesystemObjectStore.create(home / settings.objects_root)
        return
    from storage.objects.s3_bucket import create_bucket

    create_bucket(
        _s3_client(home, settings),
        _stated(settings.s3_bucket, "s3_bucket"),
        retention=timedelta(days=settings.s3_retention_days),
        mode=_lock_mode(settings),
    )
    _s3(home, settings).prove_lock()
    from storage.ledger.bucket import HeaderBucket

    HeaderBucket(_s3_client(home, settings), _stated(settings.s3_bucket, "s3_bucket")).create()


def _tiles(home: Path, settings: Settings) -> TileStore:
    if settings.objects != "s3":
        return TileFolder(home / LEDGER)
    from storage.ledger.bucket import TileBucket

    return TileBucket(_s3_client(home, settings), _stated(settings.s3_bucket, "s3_bucket"))


def _headers(home: Path, settings: Settings) -> HeaderStore:
    if settings.objects != "s3":
        return HeaderFolder(home / HEADERS)
    from storage.ledger.bucket import HeaderBucket

    return HeaderBucket(_s3_client(home, settings), _stated(settings.s3_bucket, "s3_bucket"))


def _upload_bucket(home: Path, settings: Settings) -> "UploadBucket":
    from storage.ledger.bucket import HEADERS_SUFFIX
    from storage.uploads.bucket import UploadBucket

    bucket = _stated(settings.s3_bucket, "s3_bucket") + HEADERS_SUFFIX
    return UploadBucket(_s3_client(home, settings), bucket)


def _s3(home: Path, settings: Settings) -> "S3ObjectStore":
    from storage.objects.s3 import S3ObjectStore

    return S3ObjectStore(
        _s3_client(home, settings),
        _stated(settings.s3_bucket, "s3_bucket"),
        clock=SystemClock(),
        retention=timedelta(days=settings.s3_retention_days),
        mode=_lock_mode(settings),
    )


def _s3_client(home: Path, settings: Settings) -> "Minio":
    from storage.objects.s3_bucket import connect

    def secret(file: Path | None, name: str) -> str:
        return read_secret(home / _stated(file, name)).decode()

    return connect(
        _stated(settings.s3_endpoint, "s3_endpoint"),
        access_key=secret(settings.s3_access_key_file, "s3_access_key_file"),
        secret_key=secret(settings.s3_secret_key_file, "s3_secret_key_file"),
        region=settings.s3_region,
        secure=settings.s3_secure,
        ca_file=None if settings.s3_ca_file is None else home / settings.s3_ca_file,
    )


def _lock_mode(settings: Settings) -> "LockMode":
    from storage.objects.s3_lock import LockMode

    return LockMode(settings.s3_retention_mode)


def _stated(value: T | None, name: str) -> T:
    if value is None:
        raise SettingsError(f"setting {name}: is needed with objects = s3, and is not set")
    return value


def examine_store(instance: Instance) -> str:
    """What the object store is, having shown that it answers and, on S3, that locks hold.

    Raises:
        StoreUnavailableError: if it does not answer.
        SettingsError: if it does not enforce what it is relied on for.
    """
    if isinstance(instance.objects, (FilesystemObjectStore, AbsentStore)):
        next(instance.objects.names(), None)
        return f"filesystem, {instance.home / instance.settings.objects_root}"
    store = _s3(instance.home, instance.settings)
    store.prove_lock()
    settings = instance.settings
    return (
        f"S3 bucket {settings.s3_bucket} at {settings.s3_endpoint}; {settings.s3_retention_mode} "
        f"locks of {settings.s3_retention_days} days hold"
    )


def local_folders(instance: Instance) -> list[Path]:
    """The folders on this machine's disks that an instance needs room in."""
    folders = [instance.home]
    if instance.settings.objects == "filesystem":
        folders.append(instance.home / instance.settings.objects_root)
    return [folder for folder in folders if folder.is_dir()]
