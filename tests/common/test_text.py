"""Messages of errors are shortened to one line."""

import pytest

from ops.common.text import first_line


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("no such file", "no such file"),
        ("  cannot parse\nat line 3", "cannot parse"),
        ("\n\nlate", "late"),
        ("", "ValueError"),
        (" \n ", "ValueError"),
    ],
)
def test_the_first_line_of_an_error_is_never_empty(message: str, line: str) -> None:
    assert first_line(ValueError(message)) == line
