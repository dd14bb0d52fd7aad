"""Scenarios: a whole cooperation, played by the real commands on an instance made for it.

A scenario is a file: commands in order, what each is expected to give, and what is kept of its
answer for later ones. It is played in a home of its own, as an exercise, with an exercise's time;
nothing of it can meet a real instance.
"""

import io
import json
import os
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

from api import wiring
from api.settings import EXERCISE_NOW_VARIABLE, PREFIX
from evidence_store.dossier_port import Access
from evidence_store.errors import NotFoundError, SettingsError
from evidence_store.identifiers import DossierKind
from evidence_store.index_audit import whole_audit

Run = Callable[[list[str]], int]
MINUTE = timedelta(minutes=1)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


@dataclass(frozen=True, slots=True)
class Step:
    """A command, who gives it and why, and what is expected of it."""

    say: str
    run: str
    who: str = ""
    after: timedelta = MINUTE
    document: Mapping[str, Any] | None = None
    keep: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    exit: int | None = None
    decision: str | None = None
    rule: str | None = None
    approve: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario: whose instance it is played on, from when, with which files."""

    name: str
    title: str
    summary: str
    state: str
    authority: str
    start: datetime
    files: Mapping[str, str]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Played:
    """What a step gave. `expected` says whether it was what the scenario expects."""

    number: int
    at: datetime
    step: Step
    command: str
    exit: int
    records: tuple[dict[str, Any], ...]
    error: dict[str, Any] | None
    accesses: tuple[Access, ...]
    expected: bool
    problem: str = ""


def scenarios() -> dict[str, Scenario]:
    """The scenarios that come with the system, by name.

    Raises:
        SettingsError: if a file is not as it must be.
    """
    folder = resources.files("api") / "scenarios"
    files = sorted(
        (each for each in folder.iterdir() if each.name.endswith(".toml")),
        key=lambda each: each.name,
    )
    return {
        each.name.removesuffix(".toml"): read_scenario(
            each.read_text(encoding="utf-8"), each.name.removesuffix(".toml")
        )
        for each in files
    }


def scenario_named(name: str) -> Scenario:
    """A scenario that comes with the system, or one from a file of one's own.

    Raises:
        NotFoundError: if there is none.
        SettingsError: if it is not as it must be.
    """
    file = Path(name)
    if file.suffix == ".toml" and file.is_file():
        return read_scenario(file.read_text(encoding="utf-8"), file.stem)
    found = scenarios().get(name)
    if found is None:
        raise NotFoundError(f"there is no scenario {name!r}; `evidence scenario list` shows them")
    return found


def read_scenario(text: str, name: str) -> Scenario:
    """A scenario from its file.

    Raises:
        SettingsError: if the file is not as it must be.
    """
    try:
        raw = tomllib.loads(text)
        return Scenario(
            name=name,
            title=raw["title"],
            summary=raw["summary"],
            state=raw["state"],
            authority=raw["authority"],
            start=datetime.fromisoformat(raw["start"]),
            files={each["name"]: each["text"] for each in raw.get("file", [])},
            steps=tuple(map(_step, raw["step"])),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SettingsError(f"{name}: expected a scenario, whole: {error}") from error


def play(scenario: Scenario, folder: Path, run: Run) -> Iterator[Played]:
    """Play a scenario in a folder of its own, step by step.

    Raises:
        SettingsError: if the folder holds anything, or the environment settings of an instance.
    """
    if any(folder.iterdir()):
        raise SettingsError(f"{folder}: expected an empty folder to play in")
    home, now, known = folder / "home", scenario.start, {"folder": str(folder)}
    for name, text in scenario.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    first = f"init --exercise --state {scenario.state} --authority '{scenario.authority}'"
    number = 0
    for step in (Step("An instance for the exercise is set up", first), *scenario.steps):
        now += step.after
        for each in _commands(step, known):
            number += 1
            played = _played(number, now, each, home, folder, known, run)
            yield played


def checked(folder: Path) -> list[str]:
    """What is wrong with the log of the instance that was played on; nothing, if all is well."""
    with closing(wiring.open_instance(folder / "home", _no_passphrase)) as instance:
        return [
            f"{each.where}: {each.problem}"
            for each in whole_audit(instance.catalog, instance.tiles)
            if each.problem
        ]


def _commands(step: Step, known: dict[str, str]) -> Iterator[Step]:
    yield step
    if step.approve is not None:
        yield Step(
            say="Another officer of the registry approves it",
            run=f"registry approve {{change}} --officer {step.approve}",
            who=step.approve.strip("{}"),
        )
    known.pop("change", None)


def _played(
    number: int,
    now: datetime,
    step: Step,
    home: Path,
    folder: Path,
    known: dict[str, str],
    run: Run,
) -> Played:
    if step.document is not None:
        file = folder / f"document-{number:03d}.json"
        file.write_text(json.dumps(_filled(step.document, known)), encoding="utf-8")
        known["document"] = str(file)
    command = _substituted(step.run, known)
    before = _last_access(home)
    out, problems = io.StringIO(), io.StringIO()
    with _environment(now), redirect_stdout(out), redirect_stderr(problems):
        code = run(["--home", str(home), "--json", *shlex.split(command)])
    records = tuple(_objects(out.getvalue()))
    error = next((each["error"] for each in _objects(problems.getvalue()) if "error" in each), None)
    accesses = tuple(_accesses_after(home, before))
    where = _filled(step.where, known)
    problem = _unexpected(replace(step, where=where), code, records, error, accesses)
    if records:
        known.update({"change": str(records[0]["change"])} if "change" in records[0] else {})
        for name, path in step.keep.items():
            known[name] = str(_at(records, path))
    return Played(
        number=number,
        at=now,
        step=step,
        command=command.replace(str(folder), "."),
        exit=code,
        records=records,
        error=error,
        accesses=accesses,
        expected=not problem,
        problem=problem or "",
    )


def _unexpected(
    step: Step,
    code: int,
    records: tuple[dict[str, Any], ...],
    error: dict[str, Any] | None,
    accesses: tuple[Access, ...],
) -> str | None:
    """What is not as the scenario expects, if anything is."""
    found = None if error is None else error.get("code")
    if step.error is None and step.decision is None and code != (step.exit or 0):
        return f"exit {code}: {error}"
    if step.error is not None and found != step.error:
        return f"expected the error {step.error}, found {found or 'none'}"
    if step.decision is not None:
        last = accesses[-1] if accesses else None
        if last is None or (last.decision, last.rule) != (step.decision, step.rule or last.rule):
            told = "no decision" if last is None else f"{last.decision} by {last.rule}"
            return f"expected {step.decision} by {step.rule}, found {told}"
    for path, value in step.where.items():
        if _at(records, path) != value:
            return f"expected {path} to be {value!r}, found {_at(records, path)!r}"
    return None


def _step(raw: dict[str, Any]) -> Step:
    after = raw.pop("after", "1m")
    return Step(after=int(after[:-1]) * _UNITS[after[-1]], **raw)  # refuses what a step has not


def _substituted(text: str, known: Mapping[str, str]) -> str:
    for name, value in known.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _filled(value: Any, known: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON of any kind
    match value:
        case str():
            return _substituted(value, known)
        case list():
            return [_filled(each, known) for each in value]
        case dict():
            return {name: _filled(each, known) for name, each in value.items()}
        case _:
            return value


def _objects(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def _at(records: tuple[dict[str, Any], ...], path: str) -> Any:  # noqa: ANN401 - JSON of any kind
    """The value at `name` of the first record, or at `2.name.0` of the third's list."""
    parts = path.split(".")
    value: Any = records
    if not parts[0].lstrip("-").isdigit():
        parts = ["0", *parts]
    for part in parts:
        try:
            value = value[int(part)] if isinstance(value, (list, tuple)) else value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _last_access(home: Path) -> str | None:
    last: str | None = None
    for each in _accesses_after(home, None):
        last = str(each.id)
    return last


def _accesses_after(home: Path, after: str | None) -> Iterator[Access]:
    if not (home / "catalog.db").exists():
        return
    with (
        closing(wiring.open_instance(home, _no_passphrase)) as instance,
        instance.catalog.read() as reader,
    ):
        while True:
            page = reader.dossiers.dossiers(DossierKind.ACCESS, after=after, limit=500)
            for each in page.entries:
                yield reader.dossiers.access(each.id)
            if page.after is None:
                return
            after = page.after


@contextmanager
def _environment(now: datetime) -> Iterator[None]:
    """The environment of an exercise: no settings of a real instance, and the exercise's time."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    for name in kept:
        del os.environ[name]
    os.environ[EXERCISE_NOW_VARIABLE] = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    try:
        yield
    finally:
        del os.environ[EXERCISE_NOW_VARIABLE]
        os.environ.update(kept)


def _no_passphrase() -> bytes:
    raise SettingsError("scenario: its key has no passphrase")
