"""The output of the small tools, and their one-line errors for bad input."""

from pathlib import Path

import pytest
from conftest import Call


def test_compare_prints_a_row_for_each_test(call: Call, tmp_path: Path) -> None:
    for name, top1 in (("a", "98.75"), ("b", "null")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(f'{{"top1": {top1}, "scored": 3, "expected": 4}}')
    lines = call("tools/compare.py", "with TAM=a", "b").out.splitlines()
    assert lines[1].split() == ["with", "TAM", "98.8", "-", "-", "3", "of", "4", "scored"]
    assert lines[2].split() == ["b", "-", "-", "-", "3", "of", "4", "scored"]
    assert "runs/a/test" in call("tools/compare.py", "--help").out


@pytest.mark.parametrize("content", [None, "no json", "[]", "{}"])
def test_compare_refuses_files_that_are_no_results(content: str | None, call: Call, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    ended = call("tools/compare.py", ".", status=2)
    assert ended.err.startswith("error: metrics.json: ") and len(ended.err.splitlines()) == 1


def test_compare_names_the_tests_in_the_folder_of_a_run(call: Call, tmp_path: Path) -> None:
    (tmp_path / "run" / "test").mkdir(parents=True)
    (tmp_path / "run" / "test" / "metrics.json").write_text('{"scored": 3, "expected": 4}')
    ended = call("tools/compare.py", "run", status=2)
    assert ended.err.endswith("cannot read the results of a test (FileNotFoundError); did you mean run/test?\n")
