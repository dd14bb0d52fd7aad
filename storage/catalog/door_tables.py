"""Rows of the doors: accounts, sessions, tokens, uploads, leases. What is here is not evidence.

Nothing of it enters the ledger or a journal: an instance that was made anew enrols its officers
again. Secrets are kept as digests, or sealed to the instance's key.
"""

from datetime import datetime

from sqlalchemy import BigInteger, Index, LargeBinary, UniqueConstraint, false
from sqlmodel import Field, SQLModel

from storage.catalog.tables import PlainText, UtcDateTime


class AccountRow(SQLModel, table=True):
    """An officer's way in. `password` is argon2id's text, `totp` is sealed."""

    __tablename__ = "account"

    officer: str = Field(sa_type=PlainText, primary_key=True)
    created_at: datetime = Field(sa_type=UtcDateTime)
    password: str | None = Field(default=None, sa_type=PlainText)
    totp: bytes | None = Field(default=None, sa_type=LargeBinary)
    totp_step: int | None = Field(default=None, sa_type=BigInteger)
    failed: int
    locked_until: datetime | None = Field(default=None, sa_type=UtcDateTime)


class PasskeyRow(SQLModel, table=True):
    """A passkey of an account (WebAuthn)."""

    __tablename__ = "passkey"
    __table_args__ = (Index("ix_passkey_officer", "officer", "credential"),)

    credential: str = Field(sa_type=PlainText, primary_key=True)
    officer: str = Field(sa_type=PlainText, foreign_key="account.officer")
    public_key: bytes = Field(sa_type=LargeBinary)
    sign_count: int = Field(sa_type=BigInteger)
    name: str = Field(sa_type=PlainText)
    created_at: datetime = Field(sa_type=UtcDateTime)


class IdentityRow(SQLModel, table=True):
    """Who an identity provider says somebody is, by the digest of issuer and subject."""

    __tablename__ = "identity"
    __table_args__ = (Index("ix_identity_officer", "officer"),)

    digest: bytes = Field(sa_type=LargeBinary, primary_key=True)
    officer: str = Field(sa_type=PlainText, foreign_key="account.officer")
    issuer: str = Field(sa_type=PlainText)
    created_at: datetime = Field(sa_type=UtcDateTime)


class NonceRow(SQLModel, table=True):
    """A nonce that a peer has used, until the request that it was in is over."""

    __tablename__ = "nonce"
    __table_args__ = (Index("ix_nonce_expiry", "expires_at"),)

    digest: bytes = Field(sa_type=LargeBinary, primary_key=True)
    expires_at: datetime = Field(sa_type=UtcDateTime)


class DeliveryRow(SQLModel, table=True):
    """A package that a peer delivered; its bytes are in a sealed file of this identifier."""

    __tablename__ = "delivery"
    __table_args__ = (UniqueConstraint("authority", "sha256"),)

    id: str = Field(sa_type=PlainText, primary_key=True)
    authority: str = Field(sa_type=PlainText)
    sha256: str = Field(sa_type=PlainText)
    size_bytes: int = Field(sa_type=BigInteger)
    received_at: datetime = Field(sa_type=UtcDateTime)
    signed: str = Field(sa_type=PlainText)
    receipt: str = Field(sa_type=PlainText)
    signature: bytes = Field(sa_type=LargeBinary)


class EnrolmentRow(SQLModel, table=True):
    """A one-time link to enrol or recover: issued by one officer of the registry, by another too."""

    __tablename__ = "enrolment"
    __table_args__ = (Index("ix_enrolment_expires_at", "expires_at"),)

    digest: bytes = Field(sa_type=LargeBinary, primary_key=True)
    officer: str = Field(sa_type=PlainText)
    issued_by: str = Field(sa_type=PlainText)
    confirmed_by: str | None = Field(default=None, sa_type=PlainText)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class SessionRow(SQLModel, table=True):
    """A session, by the digest of its token."""

    __tablename__ = "session"
    __table_args__ = (
        Index("ix_session_officer", "officer", "id"),
        Index("ix_session_expires_at", "expires_at"),
    )

    digest: bytes = Field(sa_type=LargeBinary, primary_key=True)
    id: str = Field(sa_type=PlainText, unique=True)
    officer: str = Field(sa_type=PlainText)
    method: str = Field(sa_type=PlainText)
    agent: str = Field(sa_type=PlainText)
    created_at: datetime = Field(sa_type=UtcDateTime)
    seen_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class ChallengeRow(SQLModel, table=True):
    """A challenge that is to be answered once, and what for."""

    __tablename__ = "challenge"
    __table_args__ = (Index("ix_challenge_expires_at", "expires_at"),)

    digest: bytes = Field(sa_type=LargeBinary, primary_key=True)
    purpose: str = Field(sa_type=PlainText)
    officer: str | None = Field(default=None, sa_type=PlainText)
    content: str = Field(sa_type=PlainText)
    expires_at: datetime = Field(sa_type=UtcDateTime)


class TokenRow(SQLModel, table=True):
    """A personal access token, by its digest. `scopes` are words with spaces between."""

    __tablename__ = "token"
    __table_args__ = (
        Index("ix_token_officer", "officer", "id"),
        Index("ix_token_expires_at", "expires_at"),
    )

    digest: bytes = Field(sa_type=LargeBinary, primary_key=True)
    id: str = Field(sa_type=PlainText, unique=True)
    officer: str = Field(sa_type=PlainText)
    name: str = Field(sa_type=PlainText)
    scopes: str = Field(sa_type=PlainText)
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class IdempotencyRow(SQLModel, table=True):
    """What a request that creates was answered, by its key, so that it is done once.

    `is_done` is entered in the transaction that does it: the answer may be lost, this may not.
    """

    __tablename__ = "idempotency"
    __table_args__ = (Index("ix_idempotency_created_at", "created_at"),)

    officer: str = Field(sa_type=PlainText, primary_key=True)
    key: str = Field(sa_type=PlainText, primary_key=True)
    fingerprint: bytes = Field(sa_type=LargeBinary)
    status: int | None = None
    body: str | None = Field(default=None, sa_type=PlainText)
    created_at: datetime = Field(sa_type=UtcDateTime)
    is_done: bool = Field(sa_column_kwargs={"server_default": false()})


class UploadRow(SQLModel, table=True):
    """An upload under way: how much is durable, who writes (`epoch`), and what is to become of it.

    The content's sealed bytes are segments in files of their own, one for each epoch; `header`
    opens them, `parts` says of each segment in which file it is and how many bytes were sealed.
    `concatenated` names the uploads that it is made of, with spaces between; no client can write it.
    """

    __tablename__ = "upload"
    __table_args__ = (
        Index("ix_upload_expiry", "state", "expires_at"),
        Index("ix_upload_officer", "officer", "state"),
    )

    id: str = Field(sa_type=PlainText, primary_key=True)
    officer: str = Field(sa_type=PlainText)
    length: int | None = Field(default=None, sa_type=BigInteger)
    offset: int = Field(sa_type=BigInteger)
    epoch: int = Field(sa_type=BigInteger)
    state: str = Field(sa_type=PlainText)
    metadata_text: str = Field(sa_type=PlainText)
    parts: str = Field(sa_type=PlainText)
    header: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    outcome: str | None = Field(default=None, sa_type=PlainText)
    concatenated: str = Field(sa_type=PlainText, sa_column_kwargs={"server_default": ""})


class LeaseRow(SQLModel, table=True):
    """Who does a piece of background work now, and until when nobody else does."""

    __tablename__ = "lease"

    name: str = Field(sa_type=PlainText, primary_key=True)
    holder: str = Field(sa_type=PlainText)
    until: datetime = Field(sa_type=UtcDateTime)
    done_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
