"""Self-contained HTML pages: style, script and images are embedded, and nothing is loaded from elsewhere."""

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
    autoescape=True,  # class names and paths are untrusted text
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_page(path: str | os.PathLike[str], template: str, **values: Any) -> None:
    """Fill `templates/<template>`, which extends `base.html` (it needs `title`), and write it atomically."""
    text = fill_template(template, **values)
    with atomic_file(path, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)


def fill_template(template: str, **values: Any) -> str:
    """The text of `templates/<template>` with these values."""
    return _TEMPLATES.get_template(template).render(**values)


def image_uri(content: bytes, kind: str = "png") -> str:
    """An image file as a data URL, for `<img src>`."""
    return data_uri(content, f"image/{kind}")


def data_uri(content: bytes, media_type: str) -> str:
    """A file as a data URL; `media_type` is, for example, "video/mp4"."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def figure_uri(figure: Figure, dpi: int = 110) -> str:
    """A Matplotlib figure as a data URL."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight")
    return image_uri(buffer.getvalue())
