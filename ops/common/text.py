"""Text that keeps to one line, and that a terminal can be given."""

import re


def one_line(text: str) -> str:
    """`text` as it can stand in a line of a file or on a terminal: control characters are escaped."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: repr(found[0])[1:-1], text)


def printable(text: str) -> str:
    """`text` as a terminal may get it: lines stay lines, bars and colours what they are, and all else that a terminal
    would obey is escaped."""
    return _OBEYED.sub(lambda found: found[0] if found[1] else repr(found[0])[1:-1], text)


_OBEYED = re.compile(r"(\x1b\[\d*[mA])|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Control characters but tab, line feed and carriage return. The group: colours, and a line up, as bars need it."""
