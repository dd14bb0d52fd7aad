"""The main job on a real S3 server and a real PostgreSQL, chosen by settings alone."""

from pathlib import Path

import pytest

from tests.e2e.conftest import Evidence
from tests.seaweedfs import ACCESS_KEY, SECRET_KEY, SeaweedServer

pytestmark = [pytest.mark.s3, pytest.mark.postgresql]


@pytest.fixture
def remote(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    s3_server: SeaweedServer,
    s3_bucket_name: str,
    postgresql_url: str,
) -> Evidence:
    home = tmp_path / "home"
    home.mkdir(0o700)
    (home / "access").write_text(ACCESS_KEY + "\n")
    (home / "secret").write_text(SECRET_KEY + "\n")
    (home / "settings.toml").write_text(
        f'objects = "s3"\ns3_endpoint = "{s3_server.https_endpoint}"\n'
        f's3_bucket = "{s3_bucket_name}"\ns3_access_key_file = "access"\n'
        f's3_secret_key_file = "secret"\ns3_ca_file = "{s3_server.ca_file}"\n'
        "s3_retention_days = 1\n"
    )
    monkeypatch.setenv("EVIDENCE_DATABASE_URL", postgresql_url)
    command = Evidence(home, capsys)
    command("init", "--state", "SI", "--authority", "Prosecutor")
    command.case = command("case", "open", "--title", "Shelling of a village").records[0]["case"]
    return command


def test_evidence_goes_in_is_verified_and_comes_out_again(
    remote: Evidence, folder: Path, tmp_path: Path
) -> None:
    lines = remote.ingest(folder).lines
    assert sorted(line["status"] for line in lines) == ["duplicate", *["ingested"] * 4]
    assert [line["status"] for line in remote.ingest(folder).lines] == ["resumed"] * 5
    assert remote("verify", "--both-digests").summary["match"] == 5
    for line in lines:
        out = tmp_path / line["ern"]
        remote("fetch", line["ern"], "-o", out)
        assert out.read_bytes() == Path(line["path"]).read_bytes()
    checks = {line["check"]: line for line in remote("doctor").lines}
    assert checks["store"]["outcome"] == "ok"
    assert (checks["orphans"]["found"], checks["missing objects"]["found"]) == (0, 0)
    remote("init", "--state", "HR", "--authority", "Other", code=2)


def test_everything_but_the_keys_is_rebuilt_from_the_bucket(
    remote: Evidence, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.ingest(folder)
    remote("keys", "rotate")
    root = remote("log", "status").records[0]["root"]
    assert {path.name for path in remote.home.iterdir()} == {
        "access", "keys", "secret", "settings.toml"
    }  # fmt: skip
    monkeypatch.setenv("EVIDENCE_DATABASE_URL", f"sqlite:///{tmp_path / 'rebuilt.db'}")
    assert remote("rebuild").records[0]["root"] == root
    assert remote("verify").summary["match"] == 5
    assert remote("log", "audit").summary["problems"] == 0


def test_no_secret_is_shown_when_a_server_is_away(
    remote: Evidence, folder: Path, s3_server: SeaweedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_server.kill()
    ran = remote.ingest(folder, code=4)
    monkeypatch.setenv("EVIDENCE_DATABASE_URL", "postgresql://evidence:s3cret@127.0.0.1:1/none")
    monkeypatch.setenv("EVIDENCE_DATABASE_BUSY_SECONDS", "0.2")
    without_database = remote("list", code=4)
    for said in (ran.out + ran.err, without_database.out + without_database.err):
        assert SECRET_KEY not in said
        assert "s3cret" not in said
