"""The house as a stranger would check it: what the linters do not see."""

import ast
import importlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("evidence_store", "storage", "ingest", "api")
MODULES = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if path.parent.name != "versions"  # history is not edited
)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_ours_and_not_one_of_the_same_name_that_is_installed(package: str) -> None:
    module = importlib.import_module(package)
    assert [Path(each) for each in module.__path__] == [ROOT / package]


def test_the_top_level_holds_the_owners_names_and_nothing_else() -> None:
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert found <= {
        *PACKAGES, "tests", "scripts", "docs", "pyproject.toml", "constraints.txt", "README.md",
        "__pycache__",
    }  # fmt: skip


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_is_in_a_few_lines(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    assert text
    assert len(text.splitlines()) <= 20


def test_every_dependency_is_pinned_by_hash_and_no_registry_is_named() -> None:
    constraints = (ROOT / "constraints.txt").read_text()
    pins = re.split(r"\n(?=[a-z])", constraints.strip())
    assert all("==" in pin and "--hash=sha256:" in pin for pin in pins)
    assert "://" not in constraints
    pinned = {re.split(r"[=\[]", pin)[0].replace("_", "-").lower() for pin in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for dependency in project["project"]["dependencies"]:
        name = re.split(r"[<>=\[~!; ]", dependency)[0].lower()
        assert name in pinned


def test_every_error_code_is_in_the_format_page_once() -> None:
    source = (ROOT / "evidence_store/errors.py").read_text()
    codes = re.findall(r'code = "(E\d{3})"', source)
    assert len(codes) == len(set(codes))
    page = (ROOT / "docs/format.md").read_text()
    assert [code for code in codes if code not in page] == []


def test_every_setting_is_in_the_operators_guide() -> None:
    from api.settings import Settings  # noqa: PLC0415 - of this test only

    page = (ROOT / "docs/operators-guide.md").read_text()
    assert [name for name in Settings.model_fields if f"`{name}`" not in page] == []
