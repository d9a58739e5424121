"""The page's parts and what they do, as a Gradio application."""

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ops.app.analysis import Analysis
from ops.app.view import error_html, result_html, welcome_html
from ops.common.errors import InputError, MediaError, is_out_of_memory
from ops.common.html import fill_template

HERE = Path(__file__).parent
CSS, SCRIPT = HERE / "page.css", HERE / "page.js"

CAMERA = {"audio": False, "video": {"width": {"ideal": 640}, "height": {"ideal": 480}}}
"""What is asked of the camera. (Gradio's include_audio=False needs the program ffmpeg instead.)"""

QUEUE = 20
"""So many videos may wait; further ones are refused."""

ORPHANS = 3600
"""Seconds until an upload that was never analysed, because its page was closed, is deleted."""

log = logging.getLogger(__name__)

Analyse = Callable[[str, str], Analysis]


def answer(analyse: Analyse, path: str, name: str, max_mb: int) -> str:
    """The page's answer to the video at `path`: its analysis as HTML, or one message if that is not possible."""
    try:
        size = Path(path).stat().st_size
        if size > max_mb * 1_000_000:
            raise MediaError(name, f"has {size / 1e6:.1f} MB, and at most {max_mb} MB are accepted")
        return result_html(analyse(path, name))
    except MediaError as error:
        return error_html(f"{name}: {error.reason}")
    except InputError as error:
        return error_html(f"{name}: {error}")
    except OSError as error:
        return error_html(f"{name}: cannot be read ({error.strerror or error})")
    except Exception as error:  # the server goes on
        if is_out_of_memory(error):
            return error_html(f"{name}: not enough memory to analyse it")
        log.exception("%s: unexpected error", name)
        return error_html(f"{name}: an unexpected error, which the terminal of the server describes")


def answer_upload(analyse: Analyse, max_mb: int, path: str | None) -> tuple[None, str]:
    """The answer to an uploaded video, which is deleted; the place for uploads is empty again."""
    if not path:
        return None, error_html("There is no video: drop a file, or record one with the camera.")
    try:
        return None, answer(analyse, path, os.path.basename(path), max_mb)
    finally:
        shutil.rmtree(Path(path).parent, ignore_errors=True)  # Gradio makes a folder for each upload


def make_page(analyse: Analyse, title: str, facts: str, examples: Mapping[str, Path], max_mb: int) -> Any:
    """The Gradio `Blocks` of the page; `facts` says what network it is, `examples` are videos by name."""
    import gradio as gr

    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(60, ORPHANS)) as page:
        gr.HTML(fill_template("app_title.html", title=title, facts=facts), elem_classes="tam-title", padding=False)
        video = gr.Video(
            label=f"Video, up to {max_mb} MB",
            sources=["upload", "webcam"],
            height=280,
            webcam_options=gr.WebcamOptions(mirror=False, constraints=CAMERA),  # in a mirror, left would be right
            elem_id="tam-video",
        )
        _refuse_addresses(video)
        with gr.Row(elem_classes="tam-examples"):
            buttons = {name: gr.Button(name, size="sm", elem_classes="tam-example") for name in examples}
        result = gr.HTML(welcome_html(), elem_id="tam-result", padding=False)
        alone: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "network", "show_progress": "full"}
        gr.on(
            [video.upload, video.stop_recording],
            partial(answer_upload, analyse, max_mb),
            video,
            [video, result],
            api_name="analyse",
            show_progress_on=result,
            **alone,
        )
        for name, button in buttons.items():
            label = f"example: {name}"
            button.click(partial(answer, analyse, str(examples[name]), label, max_mb), None, result,
                         api_visibility="private", **alone)  # fmt: skip
    page.queue(max_size=QUEUE, default_concurrency_limit=1)
    return page


def _refuse_addresses(component: Any) -> None:
    """Let `component` take uploaded files only: Gradio would download an address that a client sends instead."""
    import gradio as gr

    move = component.async_move_resource_to_block_cache

    async def move_file(place: str | Path | None) -> str | None:
        if not place or not Path(place).is_file():
            raise gr.Error("only uploaded files are accepted", print_exception=False)
        moved: str | None = await move(place)
        return moved

    component.async_move_resource_to_block_cache = move_file
