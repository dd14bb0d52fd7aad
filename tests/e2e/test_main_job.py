import base64
import hashlib
import os
import shutil
import stat
from pathlib import Path

import pytest
from blake3 import blake3

from tests.e2e.conftest import Evidence


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_folder_goes_in_with_the_digests_that_other_tools_compute(
    evidence: Evidence, folder: Path
) -> None:
    ran = evidence.ingest(folder)
    assert {Path(line["path"]) for line in ran.lines} == set(files_of(folder))
    for line in ran.lines:
        content = Path(line["path"]).read_bytes()
        assert line["sha256"] == hashlib.sha256(content).hexdigest()
        assert line["blake3"] == blake3(content).hexdigest()
        assert line["size_bytes"] == len(content)
        assert line["error"] is None
    assert ran.summary["files"] == len(ran.lines) == 5
    assert ran.summary["bytes"] == sum(path.stat().st_size for path in files_of(folder))


def test_every_item_comes_out_again_byte_for_byte(
    evidence: Evidence, folder: Path, tmp_path: Path
) -> None:
    for line in evidence.ingest(folder).lines:
        out = tmp_path / line["ern"]
        evidence("fetch", line["ern"], "-o", out)
        assert out.read_bytes() == Path(line["path"]).read_bytes()


def test_erns_are_in_one_unbroken_series(evidence: Evidence, folder: Path) -> None:
    erns = [line["ern"] for line in evidence.ingest(folder).lines]
    serials = [int(ern.rsplit("-", 1)[1]) for ern in erns]
    assert serials == list(range(1, len(erns) + 1))
    assert [line["ern"] for line in evidence("list").lines] == erns


def test_an_exact_duplicate_has_an_ern_of_its_own_and_its_bytes_are_stored_once(
    evidence: Evidence, folder: Path
) -> None:
    lines = evidence.ingest(folder).lines
    duplicates = [line for line in lines if line["status"] == "duplicate"]
    originals = [line for line in lines if line["sha256"] == duplicates[0]["sha256"]]
    assert len(duplicates) == 1
    assert len({line["ern"] for line in originals}) == 2
    assert len(evidence.objects()) == len(lines) - 1


def test_content_at_rest_is_encrypted_and_objects_are_read_only(
    evidence: Evidence, folder: Path
) -> None:
    evidence.ingest(folder)
    for path in evidence.objects():
        assert stat.S_IMODE(path.stat().st_mode) == 0o444
        assert b"seen from the window" not in path.read_bytes()
    catalog = (evidence.home / "catalog.db").read_bytes()
    assert b"seen from the window" not in catalog


def test_a_second_run_registers_nothing_twice(evidence: Evidence, folder: Path) -> None:
    first = evidence.ingest(folder)
    second = evidence.ingest(folder)
    assert [line["status"] for line in second.lines] == ["resumed"] * 5
    assert [line["ern"] for line in second.lines] == [line["ern"] for line in first.lines]
    assert len(evidence("list").lines) == 5
    assert len(evidence.objects()) == 4


def test_a_file_that_was_changed_since_is_an_item_of_its_own(
    evidence: Evidence, folder: Path
) -> None:
    evidence.ingest(folder)
    (folder / "note.txt").write_text("seen from the door at ten\n")
    statuses = {Path(x["path"]).name: x["status"] for x in evidence.ingest(folder).lines}
    assert statuses.pop("note.txt") == "ingested"
    assert set(statuses.values()) == {"resumed"}


def test_an_asserted_kind_is_kept_apart_from_what_the_content_says(
    evidence: Evidence, folder: Path
) -> None:
    ran = evidence.ingest(
        folder / "note.txt", "--kind", "witness_statement", "--field", "statement_type=judicial"
    )
    shown = evidence("show", ran.lines[0]["ern"]).records[0]
    assert shown["asserted"]["kind"] == "witness_statement"
    assert shown["asserted"]["fields"] == {"statement_type": "judicial"}
    assert "oath" in shown["asserted"]["not_recorded"]
    assert shown["versions"][0]["media_type"] == "text/plain"


def test_that_a_provider_set_no_terms_is_recorded_and_terms_are_kept(
    evidence: Evidence, folder: Path, tmp_path: Path
) -> None:
    terms = tmp_path / "terms.json"
    terms.write_text(
        '{"may_see": ["SI", "ICC"], "purposes": ["trial"], "until": "2036-01-01Z", "ask": "Provider 7"}'
    )
    without = evidence.ingest(folder / "note.txt").lines[0]["ern"]
    with_terms = evidence.ingest(folder / "empty", "--terms", terms).lines[0]["ern"]
    assert evidence("show", without).records[0]["asserted"]["provider_terms"] is None
    kept = evidence("show", with_terms).records[0]["asserted"]["provider_terms"]
    assert kept == {
        "may_see": ["SI", "ICC"],
        "purposes": ["trial"],
        "until": "2036-01-01Z",
        "ask": "Provider 7",
    }


@pytest.mark.parametrize(
    "name",
    [b"\xff\xfe\x80.bin", "cafe\u0301.txt".encode(), "café.txt".encode(), b"new\nline", b"-o"],
)
def test_a_name_of_any_bytes_is_kept_exactly(
    evidence: Evidence, tmp_path: Path, name: bytes
) -> None:
    (tmp_path / "odd").mkdir()
    path = os.fsencode(tmp_path / "odd") + b"/" + name
    Path(os.fsdecode(path)).write_bytes(name)
    line = evidence.ingest(tmp_path / "odd").lines[0]
    exact = line.get("path_base64")
    assert (base64.b64decode(exact) if exact else line["path"].encode()) == path
    shown = evidence("show", line["ern"]).records[0]
    exact = shown.get("path_base64")
    assert (base64.b64decode(exact) if exact else shown["path"].encode()) == path


def test_a_dry_run_shows_what_would_happen_and_does_nothing(
    evidence: Evidence, folder: Path
) -> None:
    (folder / "link").symlink_to("note.txt")
    ran = evidence.ingest(folder, "--dry-run")
    assert ran.summary["would_ingest"] == 5
    assert ran.summary["would_refuse"] == 1
    assert evidence("list").lines == []
    assert evidence.objects() == []


def test_an_exhibit_is_registered_by_its_seals_without_bytes(evidence: Evidence) -> None:
    item = evidence(
        "exhibit", "register", "--case", evidence.case, "--seal", "A-1", "--seal", "A-2",
        "--container", "bag", "--condition", "rusted", "--method", "seized",
        "--collected-by", "Insp. A. Novak", "--collected-at", "unknown",
    ).records[0]  # fmt: skip
    assert item["asserted"]["fields"]["seal_numbers"] == ["A-1", "A-2"]
    assert evidence("show", item["ern"]).records[0]["versions"] == []
    assert evidence("verify").lines == []
    evidence("fetch", item["ern"], "-o", evidence.home / "x", code=2)


def test_a_derived_version_stands_beside_the_original(
    evidence: Evidence, folder: Path, tmp_path: Path
) -> None:
    ern = evidence.ingest(folder / "note.txt").lines[0]["ern"]
    redacted = tmp_path / "redacted.txt"
    redacted.write_text("seen from ██████ at ten\n")
    added = evidence("version", "add", ern, redacted, "--type", "redacted", "--method", "by hand")
    assert added.records[0]["version"] == 2
    assert added.records[0]["derived_from"] == 1
    found = evidence("check", redacted).lines
    assert [(x["outcome"], x["ern"], x["version"], x["version_type"]) for x in found] == [
        ("match", ern, 2, "redacted")
    ]
    evidence("fetch", ern, "--version", "2", "-o", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == redacted.read_bytes()
    evidence("fetch", ern, "--version", "3", "-o", tmp_path / "out3", code=2)


def test_check_tells_match_mismatch_unknown_and_not_verifiable_apart(
    evidence: Evidence, folder: Path, tmp_path: Path
) -> None:
    lines = {Path(line["path"]).name: line for line in evidence.ingest(folder).lines}
    ern = lines["blob.bin"]["ern"]
    altered = tmp_path / "altered"
    altered.write_bytes((folder / "blob.bin").read_bytes() + b"\0")
    exhibit = evidence(
        "exhibit", "register", "--case", evidence.case, "--seal", "A-1", "--container", "bag",
        "--condition", "good", "--method", "seized", "--collected-by", "A", "--collected-at", "unknown",
    ).records[0]["ern"]  # fmt: skip
    outcomes = [
        evidence("check", folder / "blob.bin").lines[0]["outcome"],
        evidence("check", folder / "blob.bin", "--ern", ern).lines[0]["outcome"],
        evidence("check", altered, code=3).lines[0]["outcome"],
        evidence("check", altered, "--ern", ern, code=3).lines[0]["outcome"],
        evidence("check", altered, "--ern", exhibit, code=3).lines[0]["outcome"],
        evidence("check", tmp_path / "nowhere", code=4).lines[0]["outcome"],
    ]
    assert outcomes == [
        "match",
        "match",
        "unknown",
        "mismatch",
        "not_verifiable",
        "not_verifiable",
    ]


def test_verify_names_the_item_whose_byte_was_flipped(evidence: Evidence, folder: Path) -> None:
    lines = evidence.ingest(folder).lines
    assert evidence("verify").summary == {"match": 5, "mismatch": 0, "not_verifiable": 0}
    for path in evidence.objects():
        content = bytearray(path.read_bytes())
        for position in {0, len(content) // 2, len(content) - 1}:
            content[position] ^= 1
            path.chmod(0o644)
            path.write_bytes(content)
            content[position] ^= 1
            ran = evidence("verify", code=3)
            bad = {line["ern"] for line in ran.lines if line["outcome"] == "mismatch"}
            stored_bytes = path.stat().st_size
            sizes = {line["ern"]: line["size_bytes"] for line in lines}
            assert bad
            assert all(sizes[ern] < stored_bytes for ern in bad)
            assert ran.summary["mismatch"] == len(bad) <= 2
        path.write_bytes(content)
    evidence("verify")


def test_a_stored_object_that_was_cut_grown_exchanged_or_removed_is_noticed(
    evidence: Evidence, folder: Path
) -> None:
    evidence.ingest(folder / "blob.bin")
    evidence.ingest(folder / "deep/er/big.bin")
    first, second = evidence.objects()
    kept = {path: path.read_bytes() for path in (first, second)}
    for content, outcome in [
        (kept[first][:-1], "mismatch"),
        (kept[first] + b"\0", "mismatch"),
        (kept[second], "mismatch"),
        (b"", "mismatch"),
    ]:
        first.chmod(0o644)
        first.write_bytes(content)
        found = [line["outcome"] for line in evidence("verify", code=3).lines]
        assert sorted(found) == sorted(["match", outcome])
    first.unlink()
    found = [line["outcome"] for line in evidence("verify", code=3).lines]
    assert sorted(found) == ["match", "not_verifiable"]


def test_a_fetch_of_altered_bytes_leaves_no_file(
    evidence: Evidence, folder: Path, tmp_path: Path
) -> None:
    ern = evidence.ingest(folder / "deep/er/big.bin").lines[0]["ern"]
    path = evidence.objects()[0]
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    before = set(tmp_path.iterdir())
    evidence("fetch", ern, "-o", tmp_path / "out", code=3)
    assert set(tmp_path.iterdir()) == before


def test_fetch_never_replaces_a_file(evidence: Evidence, folder: Path, tmp_path: Path) -> None:
    ern = evidence.ingest(folder / "note.txt").lines[0]["ern"]
    (tmp_path / "out").write_text("mine")
    evidence("fetch", ern, "-o", tmp_path / "out", code=2)
    assert (tmp_path / "out").read_text() == "mine"


def test_a_damaged_stored_copy_is_not_relied_on_when_the_same_bytes_come_again(
    evidence: Evidence, folder: Path, tmp_path: Path
) -> None:
    evidence.ingest(folder / "blob.bin")
    path = evidence.objects()[0]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    again = tmp_path / "again.bin"
    shutil.copy(folder / "blob.bin", again)
    line = evidence.ingest(again).lines[0]
    assert line["status"] == "ingested"
    evidence("verify", line["ern"])


def test_a_void_number_stays_void_and_is_never_given_again(
    evidence: Evidence, folder: Path
) -> None:
    ern = evidence.ingest(folder / "note.txt").lines[0]["ern"]
    evidence("void", ern, "--reason", "registered in the wrong case")
    assert evidence("show", ern).records[0]["status"] == "void"
    evidence("void", ern, "--reason", "again", code=2)
    again = evidence.ingest(folder / "note.txt").lines[0]
    assert again["ern"] != ern


def test_lists_go_on_behind_a_cursor(evidence: Evidence, folder: Path) -> None:
    erns = [line["ern"] for line in evidence.ingest(folder).lines]
    first = [line["ern"] for line in evidence("list", "--limit", "2").lines]
    rest = [line["ern"] for line in evidence("list", "--after", first[-1]).lines]
    assert first + rest == erns
    evidence("list", "--after", "nonsense", code=2)
