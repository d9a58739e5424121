"""What the documents name is there."""

import re
from pathlib import Path

import pytest
from conftest import ROOT

DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks" / "RESULTS.md"])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_tests_that_documents_name_exist(path: Path) -> None:
    named = re.findall(r"`(tests/\w+\.py)::(\w+)`", path.read_text())
    assert named or path.name != "reliability.md"
    for file, name in named:
        assert re.search(rf"^(def {name}\(|.*\b{name}\b.* = )", (ROOT / file).read_text(), re.M), f"{file}::{name}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target
