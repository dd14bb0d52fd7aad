import hashlib
import os
import shutil
import socket
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import COLLECTED, Evidence


def by_name(lines: list[dict[str, object]]) -> dict[str, dict[str, object]]:
    return {Path(str(line["path"])).name: line for line in lines}


def test_links_and_special_files_are_refused_with_a_reason_and_the_rest_goes_in(
    evidence: Evidence, folder: Path
) -> None:
    (folder / "link").symlink_to("note.txt")
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        cwd = Path.cwd()
        os.chdir(folder)  # the path of a socket may have 107 bytes only
        listener.bind("socket")
        os.chdir(cwd)
        ran = evidence.ingest(folder, code=4)
    lines = by_name(ran.lines)
    refused = {name for name, line in lines.items() if line["status"] == "failed"}
    assert refused == {"link", "dangling", "pipe", "socket"}
    assert {lines[name]["code"] for name in refused} == {"E120"}
    assert ran.summary["failed"] == 4
    assert len(evidence("list").lines) == 5


def test_a_linked_folder_is_not_entered(evidence: Evidence, folder: Path) -> None:
    (folder / "round").symlink_to(folder)
    assert evidence.ingest(folder, code=4).summary["files"] == 6


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything; run as another user")
def test_an_unreadable_file_is_listed_and_the_rest_goes_in(
    evidence: Evidence, folder: Path
) -> None:
    (folder / "note.txt").chmod(0)
    lines = by_name(evidence.ingest(folder, code=4).lines)
    assert lines["note.txt"]["code"] == "E120"
    assert len(evidence("list").lines) == 4


def test_the_stores_own_home_is_no_evidence(evidence: Evidence) -> None:
    ran = evidence.ingest(evidence.home.parent, code=4)
    assert by_name(ran.lines)["home"]["code"] == "E120"
    assert evidence("list").lines == []


def test_a_digest_that_the_sender_stated_and_the_bytes_do_not_have_quarantines_the_item(
    evidence: Evidence, folder: Path, tmp_path: Path
) -> None:
    ran = evidence.ingest(folder / "note.txt", "--sha256", "0" * 64, code=3)
    line = ran.lines[0]
    assert (line["status"], line["code"]) == ("quarantined", "E200")
    shown = evidence("show", line["ern"]).records[0]
    assert shown["status"] == "quarantined"
    assert shown["stated_sha256"] == "0" * 64
    evidence("fetch", line["ern"], "-o", tmp_path / "kept")
    assert (tmp_path / "kept").read_bytes() == (folder / "note.txt").read_bytes()


def test_a_digest_that_agrees_lets_the_item_in(evidence: Evidence, folder: Path) -> None:
    digest = hashlib.sha256((folder / "note.txt").read_bytes()).hexdigest().upper()
    assert evidence.ingest(folder / "note.txt", "--sha256", digest).summary["ingested"] == 1


def test_a_stated_digest_is_for_a_single_file(evidence: Evidence, folder: Path) -> None:
    evidence.ingest(folder, "--sha256", "0" * 64, code=2)
    evidence.ingest(folder / "note.txt", "--sha256", "short", code=2)


def manifest_of(folder: Path, names: list[str]) -> Path:
    path = folder.parent / "SHA256SUMS"
    path.write_text(
        "".join(
            f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
            for name in names
        )
    )
    return path


ALL = ["note.txt", "blob.bin", "deep/er/big.bin", "deep/copy of note.txt", "empty"]


def test_a_complete_manifest_is_compared_file_by_file(evidence: Evidence, folder: Path) -> None:
    manifest = manifest_of(folder, ALL)
    (folder / "blob.bin").write_bytes(b"changed on the way")
    ran = evidence.ingest(folder, "--manifest", manifest, code=3)
    assert ran.summary["quarantined"] == 1
    assert by_name(ran.lines)["blob.bin"]["status"] == "quarantined"


def test_a_file_named_in_the_manifest_that_is_missing_is_reported(
    evidence: Evidence, folder: Path
) -> None:
    manifest = manifest_of(folder, ALL)
    (folder / "blob.bin").unlink()
    ran = evidence.ingest(folder, "--manifest", manifest, code=3)
    line = by_name(ran.lines)["blob.bin"]
    assert (line["status"], line["code"], line["ern"]) == ("failed", "E220", None)
    assert ran.summary["ingested"] + ran.summary["duplicate"] == 4


def test_a_file_that_the_manifest_does_not_name_is_taken_in_and_reported(
    evidence: Evidence, folder: Path
) -> None:
    ran = evidence.ingest(folder, "--manifest", manifest_of(folder, ALL[1:]), code=3)
    line = by_name(ran.lines)["note.txt"]
    assert line["status"] in {"ingested", "duplicate"}
    assert line["code"] == "E220"


def test_a_manifest_may_lie_in_the_folder_and_name_files_from_its_parent(
    evidence: Evidence, folder: Path
) -> None:
    manifest = manifest_of(folder, ALL)
    inside = folder / "SHA256SUMS"
    inside.write_text(manifest.read_text().replace("  ", f"  {folder.name}/"))
    assert evidence.ingest(folder, "--manifest", inside).summary["files"] == 6


def test_a_manifest_in_another_format_is_refused_before_anything_is_read(
    evidence: Evidence, folder: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "SUMS"
    manifest.write_text("MD5 (note.txt) = 0\n")
    evidence.ingest(folder, "--manifest", manifest, code=2)
    assert evidence("list").lines == []


@pytest.mark.parametrize("when", ["2026-03-14", "2026-03-14T10:20:00", "2999-01-01Z", "then", ""])
def test_a_date_without_a_zone_in_the_future_or_of_no_form_is_refused(
    evidence: Evidence, folder: Path, when: str
) -> None:
    ran = evidence(
        "ingest", folder, "--case", evidence.case, "--method", "m", "--collected-by", "A",
        "--collected-at", when, code=2,
    )  # fmt: skip
    assert "E100" in ran.err
    assert evidence("list").lines == []


@pytest.mark.parametrize("option", ["--method", "--collected-by", "--place", "--source"])
def test_an_empty_statement_is_refused_because_unknown_is_a_value(
    evidence: Evidence, folder: Path, option: str
) -> None:
    evidence.ingest(folder, option, "  ", code=2)
    evidence.ingest(folder, option, "unknown")


def test_a_case_that_does_not_exist_is_refused(evidence: Evidence, folder: Path) -> None:
    for case, code in [("SI-CASE-0099", "E404"), ("nonsense", "E100")]:
        ran = evidence("ingest", folder, "--case", case, *COLLECTED, code=2)
        assert code in ran.err
    assert evidence.objects() == []


def test_a_path_that_does_not_exist_is_a_usage_error(evidence: Evidence, tmp_path: Path) -> None:
    evidence.ingest(tmp_path / "nowhere", code=2)


def test_an_exhibit_cannot_be_ingested_as_a_file(evidence: Evidence, folder: Path) -> None:
    evidence.ingest(folder, "--kind", "physical_exhibit", code=2)
    evidence.ingest(folder, "--kind", "no_such_kind", code=2)
    evidence.ingest(folder, "--kind", "photo", "--field", "no_such_field=1", code=2)


def test_a_file_that_changes_while_it_is_read_is_not_registered(
    evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.bin"
    path.write_bytes(os.urandom(2 * 1024 * 1024))
    real = os.preadv
    reads = []

    def preadv(fd: int, buffers: list[memoryview], offset: int) -> int:
        count = real(fd, buffers, offset)
        if Path(f"/proc/self/fd/{fd}").readlink() == path:
            reads.append(offset)
            if len(reads) == 1:
                with path.open("r+b") as file:
                    file.write(b"changed")
                os.utime(path, (1, 1))
        return count

    monkeypatch.setattr(os, "preadv", preadv)
    line = evidence.ingest(path, code=4).lines[0]
    assert (line["status"], line["code"], line["ern"]) == ("failed", "E210", None)
    assert evidence("list").lines == []
    assert evidence.objects() == []


@pytest.mark.parametrize("change", [b"", b"half"])
def test_a_file_that_shrinks_while_it_is_read_is_not_registered(
    evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: bytes
) -> None:
    path = tmp_path / "log.bin"
    path.write_bytes(os.urandom(5 * 1024 * 1024))
    real = os.preadv

    def preadv(fd: int, buffers: list[memoryview], offset: int) -> int:
        count = real(fd, buffers, offset)
        if offset == 0 and Path(f"/proc/self/fd/{fd}").readlink() == path:
            path.write_bytes(change)
        return count

    monkeypatch.setattr(os, "preadv", preadv)
    assert evidence.ingest(path, code=4).lines[0]["code"] == "E210"
    assert evidence("list").lines == []


def test_a_file_removed_between_listing_and_reading_is_reported(
    evidence: Evidence, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def opening(path: bytes | str, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        if path == os.fsencode(folder / "note.txt"):
            (folder / "note.txt").unlink(missing_ok=True)
        return real(path, flags, *rest, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", opening)
    lines = by_name(evidence.ingest(folder, code=4).lines)
    assert lines["note.txt"]["code"] == "E210"
    assert len(evidence("list").lines) == 4


def test_a_file_removed_while_it_is_read_was_read_whole_and_counts(
    evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "seized.bin"
    content = os.urandom(2 * 1024 * 1024)
    path.write_bytes(content)
    real = os.preadv

    def preadv(fd: int, buffers: list[memoryview], offset: int) -> int:
        path.unlink(missing_ok=True)
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    line = evidence.ingest(path).lines[0]
    assert line["sha256"] == hashlib.sha256(content).hexdigest()


def test_an_empty_file_is_evidence_too(evidence: Evidence, folder: Path, tmp_path: Path) -> None:
    line = evidence.ingest(folder / "empty").lines[0]
    assert line["size_bytes"] == 0
    assert line["sha256"] == hashlib.sha256(b"").hexdigest()
    evidence("fetch", line["ern"], "-o", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b""
    evidence("verify")


@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("size", [64 * 1024, 1024 * 1024, 2 * 1024 * 1024])
def test_sizes_around_the_borders_of_chunks_and_buffers_come_out_the_same(
    evidence: Evidence, tmp_path: Path, size: int, extra: int
) -> None:
    content = os.urandom(size + extra)
    (tmp_path / "in").write_bytes(content)
    line = evidence.ingest(tmp_path / "in").lines[0]
    assert line["sha256"] == hashlib.sha256(content).hexdigest()
    evidence("verify", "--both-digests")
    evidence("fetch", line["ern"], "-o", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content


def test_a_store_that_vanished_is_no_empty_store(evidence: Evidence, folder: Path) -> None:
    evidence.ingest(folder / "note.txt")
    (evidence.home / "objects").rename(evidence.home / "away")
    ran = evidence.ingest(folder / "blob.bin", code=4)
    assert "E910" in ran.out + ran.err
    ran = evidence("verify", code=4)  # a disk that is away is neither a loss nor a change
    assert "E910" in ran.err
    assert ran.lines == []
    (evidence.home / "away").rename(evidence.home / "objects")
    evidence("verify")


def test_a_catalog_locked_by_another_process_is_waited_for_then_reported(
    evidence: Evidence, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVIDENCE_DATABASE_BUSY_SECONDS", "0.3")
    other = sqlite3.connect(evidence.home / "catalog.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ran = evidence.ingest(folder, code=4)
    assert "E930" in ran.err
    other.execute("ROLLBACK")
    other.close()
    assert evidence.ingest(folder).summary["ingested"] == 4


def test_a_catalog_that_is_freed_in_time_delays_the_ingest_only(
    evidence: Evidence, folder: Path
) -> None:
    other = sqlite3.connect(
        evidence.home / "catalog.db", isolation_level=None, check_same_thread=False
    )
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.5, lambda: other.execute("ROLLBACK"))
    release.start()
    started = time.monotonic()
    assert evidence.ingest(folder).summary["ingested"] == 4
    assert time.monotonic() - started >= 0.3
    release.join()
    other.close()


def test_a_misspelt_setting_is_an_error_with_advice(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVIDENCE_DATABSE_URL", "sqlite:///elsewhere.db")
    ran = evidence("doctor", code=2)
    assert "E110" in ran.err
    assert "EVIDENCE_DATABASE_URL" in ran.err


def test_a_setting_of_the_wrong_value_is_named_without_its_value(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVIDENCE_EXTRACTION_WORKERS", "s3cret")
    ran = evidence("list", code=2)
    assert "extraction_workers" in ran.err
    assert "s3cret" not in ran.err


def test_a_home_without_an_instance_says_how_to_make_one(
    evidence: Evidence, tmp_path: Path
) -> None:
    evidence.home = tmp_path / "nothing here"
    ran = evidence("list", code=2)
    assert "init" in ran.err
    assert not evidence.home.exists()


def test_a_second_init_changes_nothing(evidence: Evidence, folder: Path) -> None:
    evidence.ingest(folder)
    key = (evidence.home / "keys/evidence.key").read_bytes()
    evidence("init", "--state", "HR", "--authority", "Other", code=2)
    assert (evidence.home / "keys/evidence.key").read_bytes() == key
    evidence("verify")


def test_a_lost_key_makes_content_not_verifiable_and_never_a_mismatch(
    evidence: Evidence, folder: Path
) -> None:
    ern = evidence.ingest(folder / "note.txt").lines[0]["ern"]
    key = evidence.home / "keys/evidence.key"
    kept = key.read_bytes()
    evidence.home.joinpath("keys").rename(evidence.home / "keys.away")
    ran = evidence("verify", code=None)
    assert ran.code in {2, 3}
    (evidence.home / "keys.away").rename(evidence.home / "keys")
    assert key.read_bytes() == kept
    assert evidence("show", ern).records[0]["versions"][0]["claims"] is not None


def test_a_sparse_file_of_5_gib_goes_in_in_bounded_memory(
    evidence: Evidence, tmp_path: Path
) -> None:
    if shutil.disk_usage(tmp_path).free < 8 * 1024**3:
        pytest.skip("needs 8 GiB of free disk for the encrypted copy")
    path = tmp_path / "zeros"
    with path.open("wb") as file:
        file.truncate(5 * 1024**3)
    # Not ru_maxrss: that begins with the peak of the process that started this one.
    measure = (
        "import atexit, pathlib, re, sys\n"
        "def peak():\n"
        "    status = pathlib.Path('/proc/self/status').read_text()\n"
        "    print('peak', re.search(r'VmHWM:\\s+(\\d+)', status)[1], file=sys.stderr)\n"
        "atexit.register(peak)"
    )
    process = evidence.start_ingest(path, program=measure)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert '"size_bytes": 5368709120' in out
    peak_kib = int(err.split("peak ")[1].split()[0])
    assert peak_kib < 200 * 1024
    for stored in evidence.objects():
        stored.unlink()
