"""Untrusted names give no formulas in CSV files and no escape sequences on a terminal, and are read back unchanged."""

import csv
import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import media
import numpy as np
import pytest
from conftest import ROOT, Call
from hypothesis import given
from hypothesis import strategies as st
from small_runs import save_weights

from ops.common.console import start_logging
from ops.common.csv_tables import TableWriter, protected, read_rows, restored
from ops.common.text import printable
from ops.report.results import read_results
from ops.testing.results import TestResult, write_mistakes, write_per_class, write_predictions

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "'=1", "''@x", "=", "-"]


@pytest.mark.parametrize("cell", FORMULAS)
def test_a_formula_becomes_text(cell: str) -> None:
    assert protected(cell) == "'" + cell and restored(protected(cell)) == cell


@pytest.mark.parametrize("cell", ["", "a=b", "'quoted'", "-0.5", "+1e-7", "-inf", "7", "a-b.mp4", -3, 0.5, True, None])
def test_other_cells_stay_as_they_are(cell: object) -> None:
    assert protected(cell) == cell
    assert not isinstance(cell, str) or restored(cell) == cell


@given(st.lists(st.text(st.sampled_from("=+-@'\t\r\n,;\"a1 é"), max_size=6), min_size=1, max_size=3))
def test_every_row_comes_back(cells: list[str]) -> None:
    file = io.StringIO(newline="")
    writer = TableWriter(file)
    writer.writerow([f"=c{number}" for number in range(len(cells))])
    writer.writerow(cells)
    file.seek(0)
    names, rows = read_rows(file)
    assert names == [f"=c{number}" for number in range(len(cells))]
    assert [list(row.values()) for row in rows] == ([cells] if cells != [""] else [[""]])


def test_the_tables_of_a_test_hold_no_formula_and_are_read_back(tmp_path: Path) -> None:
    names = ["=HYPERLINK(1)", "@b", "c"]
    scores = np.array([[1.0, 2.0, 0.0], [-3.0, -1.0, -2.0]], np.float32)
    result = TestResult(["=a.mp4", "-b.mp4"], np.array([0, 2]), scores, ["", ""], ["", "+1 frames"])
    write_predictions(tmp_path / "predictions.csv", result, names)
    write_per_class(tmp_path / "per_class.csv", result, names)
    write_mistakes(tmp_path / "mistakes.csv", result, names, False)
    for path in tmp_path.iterdir():
        with path.open(newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not [cell for cell in cells if cell[:1] in ("=", "@", "+") or cell[:2] in ("-b",)], path
        assert any(cell.startswith("'=") for cell in cells) or path.name == "per_class.csv"
    test = read_results([str(tmp_path)])[0].test
    assert test
    assert [row["path"] for row in test.predictions] == ["=a.mp4", "-b.mp4"]
    assert test.predictions[1]["score"] == "-1" and test.predictions[1]["reason"] == "+1 frames"
    assert [kind.name for kind in test.classes] == names


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\x1b]0;title\x07", "a\\x1b]0;title\\x07"),
        ("a\x9b2Jb", "a\\x9b2Jb"),
        ("\x00\x08\x7f", "\\x00\\x08\\x7f"),
        ("\x1b[32mgreen\x1b[0m\x1b[A\r\n\t", "\x1b[32mgreen\x1b[0m\x1b[A\r\n\t"),
        ("日本 é", "日本 é"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


EVIL = "evil\x1b[2J\x1b]0;owned\x07\nsecond line\r"


def run(folder: Path, code: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    head = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}]\nEVIL = {EVIL!r}\nfrom ops.common.errors import InputError, run\n"
    )
    return subprocess.run(
        [sys.executable, "-c", head + code], cwd=folder, capture_output=True, check=False, timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip


def test_neither_errors_nor_log_lines_bring_escapes_to_a_terminal(tmp_path: Path) -> None:
    code = """
import logging
from ops.common.console import progress, start_logging
def main():
    start_logging()
    logging.getLogger("ops").info("%s: %d", EVIL, 3)
    logging.getLogger("ops").warning(EVIL)
    list(progress(range(1), 1, EVIL, "video", True))
    sys.stdout.write(EVIL)
    raise InputError(EVIL)
run(main)
"""
    done = run(tmp_path, code)
    assert done.returncode == 2
    assert b"\x1b[2J" not in done.stdout + done.stderr and b"\x1b]" not in done.stdout + done.stderr
    assert (
        done.stdout.splitlines()[0].startswith(b"evil\\x1b[2J") and b"second line\\r: 3" in done.stdout.splitlines()[0]
    )
    assert done.stderr.splitlines()[-1] == b"error: evil\\x1b[2J\\x1b]0;owned\\x07\\nsecond line\\r"


def test_log_lines_bring_no_escapes_to_a_bare_output_either(capsys: pytest.CaptureFixture[str]) -> None:
    """A user's own program may use the logging of this project without its wrapper around standard error."""
    start_logging()
    logging.getLogger("ops.test").warning("one\x1b[2Jline of %s", "two\nlines\x07")
    assert capsys.readouterr().err == "warning: one\\x1b[2Jline of two\\nlines\\x07\n"


def test_characters_that_the_output_cannot_encode_are_escaped(tmp_path: Path) -> None:
    code = "def main():\n    print('日本 …')\n    raise InputError('日本 \\udcff')\nrun(main)"
    done = run(tmp_path, code, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (2, b"\\u65e5\\u672c \\u2026\n")
    assert done.stderr == b"error: \\u65e5\\u672c \\udcff\n"
    done = run(tmp_path, code, PYTHONIOENCODING="utf-8")
    assert done.stderr == "error: 日本 \\udcff\n".encode()


CLOSED = [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "| head -c 1 >/dev/null"]


def in_shell(folder: Path, command: str, closed: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{sys.executable} {command} {closed}"],
        cwd=folder, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("closed", CLOSED)
def test_closed_output_does_not_go_into_files(closed: str, tmp_path: Path) -> None:
    """If descriptor 1 or 2 was free, the next file opened would get it, and all printed text would go there."""
    (tmp_path / "program.py").write_text(f"""
import os, sys
sys.path[:0] = [{str(ROOT)!r}]
from ops.common.errors import run
def main():
    with open("file", "w") as file:
        for _ in range(9):
            print("more than a pipe takes" * 999)
            sys.stderr.write("noise")
            os.write(1, b""), os.write(2, b"")
        file.write("content")
    return 0
run(main)
""")
    done = in_shell(tmp_path, "program.py", closed)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert (tmp_path / "file").read_text() == "content"


def test_closed_output_does_not_stop_the_work(tmp_path: Path) -> None:
    save_weights(tmp_path / "w.pth.tar")
    media.write_video(tmp_path / "a.mp4", 6)
    (tmp_path / "l.txt").write_text("a.mp4 0\na.mp4 1\n")
    command = f"{ROOT}/online_test_models.py custom --weights w.pth.tar --test_list l.txt --root_path ."
    done = in_shell(tmp_path, f"{command} --input_size 32 --device cpu -j 1 --output out", "<&- >&- 2>&-")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/metrics.json").read_text().endswith("}\n")
    assert (tmp_path / "out/predictions.csv").read_text().startswith("path,label")


def test_a_name_with_a_line_feed_is_one_line_everywhere(tmp_path: Path, call: Call) -> None:
    save_weights(tmp_path / "w.pth.tar")
    (tmp_path / "x\x1b[2J.mp4").write_text("no video")
    (tmp_path / "l.txt").write_text("x\x1b[2J.mp4 0\n")
    flags = ("--weights", "w.pth.tar", "--test_list", "l.txt", "--root_path", ".", "--device", "cpu", "-j", "0")
    done = call("online_test_models.py", "custom", *flags, "--input_size", "32", status=1)
    assert "not scored: x\\x1b[2J.mp4: not a readable video" in done.err and "\x1b[2J" not in done.out + done.err
