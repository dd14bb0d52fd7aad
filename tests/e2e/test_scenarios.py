"""Whole cooperations between several States, played by the real commands; and exercises apart."""

import json
from pathlib import Path

import pytest

from api.scenario import scenarios
from evidence_store.sharing import decision
from tests.e2e.conftest import Evidence


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(scenarios()))
def test_a_scenario_goes_as_it_says(evidence: Evidence, name: str) -> None:
    lines = evidence("scenario", "run", name).lines
    assert [line for line in lines if line.get("as_expected") is False] == []
    assert lines[-1]["as_expected"] is True
    assert lines[-1]["log_problems"] == []
    for line in lines[:-1]:
        assert {"step", "at", "say", "command", "exit"} <= set(line)
        if "decision" in line:
            assert line["decision"] in {"allow", "deny"}
            assert line["rule"]


def test_the_kinds_of_assistance_are_listed(evidence: Evidence) -> None:
    kinds = evidence("request", "kinds").records
    assert [each["number"] for each in kinds] == list(range(1, 15))
    assert all(each["fields"] and each["steps"] and each["documents"] for each in kinds)


def test_a_scenario_that_goes_otherwise_is_told_and_ends_with_3(
    evidence: Evidence, tmp_path: Path
) -> None:
    file = tmp_path / "own.toml"
    head = 'title="t"\nsummary="s"\nstate="XA"\nauthority="A"\nstart="2026-03-02T09:00:00+00:00"\n'
    file.write_text(head + '[[step]]\nsay="a case"\nrun="case open --title T"\nerror="E404"\n')
    lines = evidence("scenario", "run", str(file), code=3).lines
    assert [line["as_expected"] for line in lines] == [True, False, False]
    file.write_text(head + '[[step]]\nsay="a case"\nrum="case open --title T"\n')
    evidence("scenario", "run", str(file), code=2)


def test_an_exercise_says_so_for_ever_and_only_there_time_can_be_set(
    evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "exercise"
    evidence("--home", str(home), "init", "--exercise", "--state", "XA", "--authority", "A")
    shown = json.dumps(evidence("--home", str(home), "log", "status").records)
    assert "exercise." in shown
    assert "exercise." not in json.dumps(evidence("log", "status").records)
    monkeypatch.setenv("EVIDENCE_EXERCISE_NOW", "2030-01-01T00:00:00Z")
    evidence("--home", str(home), "log", "status")
    evidence("log", "status", code=2)


def test_where_there_is_a_registry_content_opens_by_decision_only(
    evidence: Evidence, folder: Path, tmp_path: Path
) -> None:
    ern = evidence.ingest(folder / "note.txt").lines[0]["ern"]
    evidence("fetch", ern, "-o", str(tmp_path / "before"))
    founded = evidence(
        "registry", "found", "--officer-name", "A", "--officer-name", "B",
        "--state-name", "S", "--language", "sl", "--role", "central_authority_mla",
    ).records[0]  # fmt: skip
    first, second = founded["officers"]
    evidence("fetch", ern, "-o", str(tmp_path / "after"), code=2)
    evidence(
        "export", ern, "-o", str(tmp_path / "p.zip"), "--person", "X", "--reference", "Y", code=2
    )
    assert not (tmp_path / "after").exists()
    change = evidence(
        "officer", "add", "P", "--authority", founded["authority"],
        "--role", "prosecutor", "--officer", first,
    ).records[0]  # fmt: skip
    evidence("registry", "approve", change["change"], "--officer", second)
    change_2 = evidence(
        "officer",
        "assign",
        change["key"],
        "--case",
        evidence.case,
        "--until",
        "2099Z",
        "--officer",
        first,
    ).records[0]
    evidence("registry", "approve", change_2["change"], "--officer", second)
    out = tmp_path / "opened"
    opened = evidence(
        "access", "open", ern, "--action", "download", "--purpose", "investigation",
        "-o", str(out), "--officer", change["key"],
    ).records[0]  # fmt: skip
    assert opened["decision"] == "allow"
    assert out.read_bytes() == (folder / "note.txt").read_bytes()
    package = tmp_path / "q.zip"
    made = evidence(
        "export", ern, "-o", str(package), "--person", "X", "--reference", "Y",
        "--officer", change["key"], "--purpose", "trial",
    ).records[0]  # fmt: skip
    evidence("verify-package", str(package))
    traced = evidence("access", "trace", str(package), "--officer", change["key"])
    assert [each["copy"] for each in traced.records] == made["copies"]
    explained = evidence("access", "explain", opened["access"], "--officer", change["key"])
    assert explained.records[0]["decided_again"] == {
        "decision": "allow", "rule": "own-officer-who-needs-to-know",
    }  # fmt: skip


def test_a_catalog_with_cooperation_in_it_is_made_anew_from_the_store(
    evidence: Evidence, tmp_path: Path
) -> None:
    played = tmp_path / "played"
    played.mkdir()
    evidence("scenario", "run", "three-states", "--keep", str(played))
    home = str(played / "home")
    before = evidence("--home", home, "log", "status").records[0]
    for file in (played / "home").glob("catalog.db*"):
        file.unlink()
    after = evidence("--home", home, "rebuild").records[0]
    assert (after["size"], after["root"]) == (before["size"], before["root"])
    shown = evidence("--home", home, "grant", "show", "XA-GRT-000001", "--officer", "OFF-0004")
    assert shown.records[0]["state"] == "closed"
    record = evidence(
        "--home", home, "access", "record", "--grant", "XA-GRT-000001", "--officer", "OFF-0004"
    ).records
    assert [each["decision"] for each in record].count("allow") == 2


def test_rules_with_a_mistake_let_nothing_start(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    decision.shipped.cache_clear()
    whole = decision._file  # noqa: SLF001 - as if the file that is shipped were another

    def mistaken(name: str) -> str:
        return whole(name).replace("principal.roles.isEmpty()", "principal.rolls.isEmpty()")

    monkeypatch.setattr(decision, "_file", mistaken)
    try:
        for command in (
            ("access", "list", "--officer", "OFF-0001"),
            ("grant", "list", "--officer", "OFF-0001"),
            ("serve", "--port", "0"),
        ):
            ran = evidence(*command, code=2)
            assert json.loads(ran.err)["error"]["code"] == "E110"
        rules = {each["check"]: each["outcome"] for each in evidence("doctor", code=None).records}
        assert rules["rules"] == "error"
    finally:
        decision.shipped.cache_clear()
