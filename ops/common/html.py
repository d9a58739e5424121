"""Self-contained pages: HTML with its style, script and pictures inside, which opens anywhere and loads nothing."""

import base64
import io
import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from ops.common.storage import atomic_file

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,  # class names and paths are somebody's text
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_page(path: str | os.PathLike[str], template: str, **values: Any) -> None:
    """Fill `templates/<template>`, which extends `base.html` (it needs `title`), and write it, whole or not at all."""
    text = _TEMPLATES.get_template(template).render(**values)
    with atomic_file(path, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)


def image_uri(content: bytes, kind: str = "png") -> str:
    """The bytes of an image file as an address that holds them, for `<img src>`."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def figure_uri(figure: Figure, dpi: int = 110) -> str:
    """A drawn figure as such an address."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight")
    return image_uri(buffer.getvalue())
