"""The names things go by: States, cases, items (ERN), dossiers, people, stored objects.

Every one has a single accepted spelling: `parse` and `str` are inverses. Knows
nothing of how a name is allocated; that is the catalog's part.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Self

from evidence_store.errors import MalformedError

YEAR_MIN, YEAR_MAX = 1900, 9999
SERIAL_MAX = 10**12


@cache  # the module's own look-up costs more than the match
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def _match(pattern: str, text: str, what: str) -> re.Match[str]:
    found = _compiled(pattern).fullmatch(text)
    if found is None:
        raise MalformedError(f"{what}", found=text)
    return found


@dataclass(frozen=True, slots=True, order=True)
class StateCode:
    """A State, by its ISO 3166-1 alpha-2 code: `SI`.

    Only the form is checked here; user-assigned codes (`XX`, `QM`…`QZ`) serve
    institutions that are not States.
    """

    value: str

    def __post_init__(self) -> None:
        _match("[A-Z]{2}", self.value, "State: expected two capital letters (ISO 3166-1)")

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, order=True)
class Ern:
    """An evidence registration number: State, year, serial, as in `SI-2026-000123`.

    The serial has six digits and more only when it needs them. An ERN is
    allocated once and never reused; a void one stays void.
    """

    state: StateCode
    year: int
    serial: int

    def __post_init__(self) -> None:
        if not YEAR_MIN <= self.year <= YEAR_MAX:
            raise MalformedError(f"ERN: the year {self.year} is not between 1900 and 9999")
        if not 1 <= self.serial < SERIAL_MAX:
            raise MalformedError(f"ERN: the serial {self.serial} is not between 1 and 10^12-1")

    def __str__(self) -> str:
        return f"{self.state}-{self.year}-{self.serial:06d}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an ERN.

        Raises:
            MalformedError: on anything `str()` of an ERN would not have written.
        """
        found = _match(
            r"([A-Z]{2})-(\d{4})-(\d{6,12})", text, "ERN: expected the form SI-2026-000123"
        )
        ern = cls(StateCode(found[1]), int(found[2]), int(found[3]))
        if str(ern) != text:
            raise MalformedError(f"ERN: expected {ern}", found=text)
        return ern


@dataclass(frozen=True, slots=True, order=True)
class CaseId:
    """A case, as in `SI-CASE-0007`: State and serial."""

    state: StateCode
    serial: int

    def __post_init__(self) -> None:
        if not 1 <= self.serial < SERIAL_MAX:
            raise MalformedError(f"case: the serial {self.serial} is not between 1 and 10^12-1")

    def __str__(self) -> str:
        return f"{self.state}-CASE-{self.serial:04d}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a case identifier.

        Raises:
            MalformedError: on anything `str()` of a case identifier would not have written.
        """
        found = _match(r"([A-Z]{2})-CASE-(\d{4,12})", text, "case: expected the form SI-CASE-0007")
        case_id = cls(StateCode(found[1]), int(found[2]))
        if str(case_id) != text:
            raise MalformedError(f"case: expected {case_id}", found=text)
        return case_id


class DossierKind(StrEnum):
    """What a dossier is about. The value stands in its identifier."""

    REGISTRY = "REG"  # a change to the registry of States, authorities and officers
    REQUEST = "REQ"  # a request for assistance
    GRANT = "GRT"  # evidence granted to another authority
    CONSENT = "CNS"  # a consent that is asked of a grantor or a provider
    TEAM = "JIT"  # a joint investigation team
    MEASURE = "MSR"  # a protective measure on an item
    INDEX = "IDX"  # an item's entry in the index of hits
    SEARCH = "HIT"  # a search in that index
    STATEMENT = "PST"  # a person's statement, by blinded identifier
    LOOKUP = "LKP"  # a question whether a person gave a statement
    ACCESS = "ACC"  # an access to evidence: decided, then completed
    FIXITY = "FIX"  # a turn of the fixity cycle: what was read again


@dataclass(frozen=True, slots=True, order=True)
class DossierId:
    """A dossier, as in `SI-GRT-000004`: State, kind and serial."""

    state: StateCode
    kind: DossierKind
    serial: int

    def __post_init__(self) -> None:
        if not 1 <= self.serial < SERIAL_MAX:
            raise MalformedError(f"dossier: the serial {self.serial} is not between 1 and 10^12-1")

    def __str__(self) -> str:
        return f"{self.state}-{self.kind}-{self.serial:06d}"

    @classmethod
    def parse(cls, text: str, kind: DossierKind | None = None) -> Self:
        """Read a dossier's identifier; only one of this kind, if one is given.

        Raises:
            MalformedError: on anything `str()` of one would not have written.
        """
        found = _match(
            rf"([A-Z]{{2}})-({kind or '|'.join(DossierKind)})-(\d{{6,12}})",
            text,
            f"dossier: expected the form SI-{kind or DossierKind.GRANT}-000004",
        )
        dossier = cls(StateCode(found[1]), DossierKind(found[2]), int(found[3]))
        if str(dossier) != text:
            raise MalformedError(f"dossier: expected {dossier}", found=text)
        return dossier


Subject = Ern | DossierId
"""What a chain of events is about."""


def parse_subject(text: str) -> Subject:
    """Read an ERN or a dossier's identifier.

    Raises:
        MalformedError: on anything that is neither.
    """
    if re.match(r"[A-Z]{2}-[A-Z]{3}-", text, re.ASCII):
        return DossierId.parse(text)
    return Ern.parse(text)


class Role(StrEnum):
    """In what capacity a person appears. The value is the prefix of the person's code."""

    COLLECTOR = "COL"
    EXAMINER = "EXM"
    WITNESS = "WIT"
    VICTIM = "VIC"
    SUSPECT = "SUS"
    EXPERT = "EXP"
    INTERPRETER = "INT"
    PROVIDER = "PRV"
    OFFICER = "OFF"


@dataclass(frozen=True, slots=True, order=True)
class PersonCode:
    """A person, by role and serial, as in `COL-0004`; the name is kept elsewhere."""

    role: Role
    serial: int

    def __post_init__(self) -> None:
        if not 1 <= self.serial < SERIAL_MAX:
            raise MalformedError(f"person: the serial {self.serial} is not between 1 and 10^12-1")

    def __str__(self) -> str:
        return f"{self.role}-{self.serial:04d}"

    @classmethod
    def parse(cls, text: str, role: Role | None = None) -> Self:
        """Read a person code; with a role, one of that role.

        Raises:
            MalformedError: on anything `str()` of such a code would not have written.
        """
        what = "person: expected the form COL-0004"
        if role is not None:
            what = f"{role.name.lower()}: expected the form {role}-0004"
        found = _match(rf"({role or '|'.join(Role)})-(\d{{4,12}})", text, what)
        code = cls(Role(found[1]), int(found[2]))
        if str(code) != text:
            raise MalformedError(f"person: expected {code}", found=text)
        return code


_AUTHORITY = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_AUTHORITY_CHARACTERS_MAX = 64


@dataclass(frozen=True, slots=True, order=True)
class AuthorityId:
    """An authority within its State, as in `police-directorate`."""

    value: str

    def __post_init__(self) -> None:
        _match(_AUTHORITY, self.value, "authority: expected the form police-directorate")
        if len(self.value) > _AUTHORITY_CHARACTERS_MAX:
            raise MalformedError("authority: expected at most 64 characters")

    def __str__(self) -> str:
        return self.value

    @classmethod
    def named(cls, name: str) -> Self:
        """The identifier made from an authority's name: `Policijska uprava` → `policijska-uprava`.

        Raises:
            MalformedError: if the name has no letter or digit that can be spelled in ASCII.
        """
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
        return cls("-".join(re.findall(r"[a-z0-9]+", plain))[:_AUTHORITY_CHARACTERS_MAX].strip("-"))


ROOT = AuthorityId("root")  # nobody acts as it: its key registers and revokes the others
BLINDING = AuthorityId("blinding")  # nor as this: its key blinds the names of those who testified


@dataclass(frozen=True, slots=True, order=True)
class KeyId:
    """A signing key, as in `SI/police-directorate/1`: State, authority, serial."""

    state: StateCode
    authority: AuthorityId
    serial: int

    def __post_init__(self) -> None:
        if not 1 <= self.serial < SERIAL_MAX:
            raise MalformedError(f"key: the serial {self.serial} is not between 1 and 10^12-1")

    def __str__(self) -> str:
        return f"{self.state}/{self.authority}/{self.serial}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a key identifier.

        Raises:
            MalformedError: on anything `str()` of a key identifier would not have written.
        """
        found = _match(
            rf"([A-Z]{{2}})/({_AUTHORITY})/([1-9][0-9]{{0,11}})",
            text,
            "key: expected the form SI/police-directorate/1",
        )
        return cls(StateCode(found[1]), AuthorityId(found[2]), int(found[3]))


@dataclass(frozen=True, slots=True, order=True)
class ObjectName:
    """A stored object: 32 lower-case hexadecimal digits, chosen at random.

    A name says nothing about the content, so a listing of the store tells an
    outsider nothing; and it can be chosen before the content is known.
    """

    value: str

    def __post_init__(self) -> None:
        _match("[0-9a-f]{32}", self.value, "object name: expected 32 hexadecimal digits")

    def __str__(self) -> str:
        return self.value

    @classmethod
    def of(cls, random: bytes) -> Self:
        """The name spelled by 16 random bytes.

        Raises:
            MalformedError: if there are not 16.
        """
        return cls(random.hex())
