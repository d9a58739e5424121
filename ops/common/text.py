"""Text for single lines and for terminals."""

import re


def one_line(text: str) -> str:
    """`text` with all control characters escaped, so that it fits on one line of a file or terminal."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: repr(found[0])[1:-1], text)


def counted(number: object, noun: str, plural: str = "") -> str:
    """A number with its noun, as in "1 video", "2 videos", "3 classes"; `plural` if it is irregular."""
    return f"{number} {noun if number == 1 else plural or noun + ('es' if noun.endswith('s') else 's')}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message that is not empty; the name of its type if there is none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def printable(text: str) -> str:
    """`text` with control characters escaped, except those of line breaks, progress bars and colours."""
    return _OBEYED.sub(lambda found: found[0] if found[1] else repr(found[0])[1:-1], text)


_OBEYED = re.compile(r"(\x1b\[\d*[mA])|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Control characters except tab, line feed and carriage return. The group matches colours and "cursor up", which
progress bars use."""
