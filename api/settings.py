"""Configuration: read once, by the composition root only.

An `EVIDENCE_…` environment variable wins over `settings.toml` in the home, and
that over the default. A name that is not a setting is an error in both, because
a misspelt one would otherwise be silently without effect.
"""

import difflib
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from evidence_store.errors import SettingsError

PREFIX = "EVIDENCE_"
HOME_VARIABLE = "EVIDENCE_HOME"  # where the rest is; the command line reads it itself
OFFICER_VARIABLE = "EVIDENCE_OFFICER"  # who acts; likewise
EXERCISE_NOW_VARIABLE = "EVIDENCE_EXERCISE_NOW"  # the time in an exercise, set by who leads it
TOKEN_VARIABLE = "EVIDENCE_TOKEN"  # noqa: S105 - the name of where a sender's token is
OTHER_VARIABLES = frozenset(
    {HOME_VARIABLE, OFFICER_VARIABLE, EXERCISE_NOW_VARIABLE, TOKEN_VARIABLE}
)
FILE_NAME = "settings.toml"


class Settings(BaseSettings):
    """Every knob there is. A relative path is relative to the home."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    database_url: str | None = Field(
        None, description="SQLAlchemy URL of the catalog; by default SQLite in the home."
    )
    database_password_file: Path | None = Field(
        None, description="Holds the password for `database_url`, so that the URL need not."
    )
    database_busy_seconds: float = Field(
        10, gt=0, le=600, description="How long to wait for another writer of the catalog."
    )
    objects: Literal["filesystem", "s3"] = Field("filesystem", description="Where objects rest.")
    objects_root: Path = Field(Path("objects"), description="The filesystem store's folder.")
    s3_endpoint: str | None = Field(None, description="Host and port of the S3 server.")
    s3_bucket: str | None = Field(None, description="A versioned bucket with Object Lock.")
    s3_region: str = Field("us-east-1", description="The bucket's region.")
    s3_secure: bool = Field(default=True, description="Whether to use https.")
    s3_ca_file: Path | None = Field(None, description="Certificates to trust, for an own CA.")
    s3_access_key_file: Path | None = Field(None, description="Holds the S3 access key.")
    s3_secret_key_file: Path | None = Field(None, description="Holds the S3 secret key.")
    s3_retention_days: int = Field(
        3650, ge=1, le=36500, description="How long each object is locked, from its own request."
    )
    s3_retention_mode: Literal["COMPLIANCE", "GOVERNANCE"] = Field(
        "COMPLIANCE", description="GOVERNANCE lets the server's administrator lift a lock."
    )
    key_file: Path = Field(Path("keys/evidence.key"), description="The age identities (0600).")
    key_passphrase_file: Path | None = Field(
        None, description="Holds the key file's passphrase, where there is no terminal."
    )
    key_recipients: list[str] = Field(
        [], description="More age recipients for every object, such as a key kept in a safe."
    )
    tokens_sign_for_officers: bool | None = Field(
        None,
        description="Whether a token may accept custody and terms; by default in exercises only.",
    )
    extraction_workers: int = Field(1, ge=1, le=64, description="Isolated processes for claims.")
    extraction_seconds: float = Field(
        10, gt=0, le=3600, description="How long the claims of one file may take to read."
    )
    fixity_days: int = Field(
        90, ge=1, le=3650, description="Within how many days every stored byte is read again."
    )
    fixity_bytes_per_second: int = Field(
        32 * 1024 * 1024, ge=1024, description="How fast the fixity cycle reads at most."
    )
    webhooks_to_private: bool = Field(
        default=False,
        description="In an exercise: let webhooks go to the own network, and to loopback by http.",
    )
    uploads_max: int = Field(
        1000, ge=1, le=100_000, description="Uploads that an officer may have under way."
    )
    uploads_bytes_max: int = Field(
        4 * 2**40,
        ge=2**20,
        description="Bytes of an officer's uploads under way, as their lengths are stated.",
    )

    http_connections_max: int = Field(
        1000, ge=10, le=100_000, description="Open connections of a server process."
    )
    http_head_seconds: float = Field(
        20, gt=0, le=600, description="How long the head of a request may take to come."
    )
    http_slow_seconds: float = Field(
        30,
        gt=0,
        le=600,
        description="How long a body or answer may hardly move before it is ended.",
    )
    http_grace_seconds: int = Field(
        30, ge=1, le=3600, description="How long requests under way may take to end at the end."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, then what `load` read from the file."""
        return env_settings, init_settings


def load(home: Path) -> Settings:
    """The settings of the instance in `home`.

    Raises:
        SettingsError: if a name is not a setting, or a value is not one it can have.
    """
    check_environment()
    file = home / FILE_NAME
    stated = _read(file)
    _refuse_unknown(stated, prefix="")
    try:
        return Settings(**stated)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise SettingsError(f"setting {name}: {first['msg']}") from None  # the value may be secret


def check_environment() -> None:
    """Insist that every `EVIDENCE_…` variable is a setting, also where no instance is needed.

    Raises:
        SettingsError: if one is not.
    """
    names = (name for name in os.environ if name.startswith(PREFIX) and name not in OTHER_VARIABLES)
    _refuse_unknown(names, prefix=PREFIX)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"settings: {file} cannot be read: {error}") from error


def _refuse_unknown(names: Iterable[str], *, prefix: str) -> None:
    known = {prefix + (name.upper() if prefix else name) for name in Settings.model_fields}
    for name in names:
        if name not in known:
            # Of the part that differs: what all names begin with would make any two alike.
            own = {each.removeprefix(prefix): each for each in known}
            close = difflib.get_close_matches(name.removeprefix(prefix), own, n=1, cutoff=0.75)
            near = [own[each] for each in close]
            advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
            raise SettingsError(f"setting {name}: there is no such setting; {advice}")
