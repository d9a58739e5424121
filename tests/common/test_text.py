"""Messages of errors are shortened to one line, and numbers have the right form of their noun."""

import pytest

from ops.common.text import counted, first_line


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


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (0, ("video",), "0 videos"),
        (1, ("video",), "1 video"),
        (2, ("class",), "2 classes"),
        (1, ("class",), "1 class"),
        (3, ("entry", "entries"), "3 entries"),
        ("?", ("frame",), "? frames"),
    ],
)
def test_numbers_have_the_right_form_of_their_noun(number: object, words: tuple[str, ...], text: str) -> None:
    assert counted(number, *words) == text
