"""Serving the page: only here, nothing from elsewhere, and without leaving anything behind."""

import logging
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from ops.app.analysis import Analyst
from ops.app.examples import write_examples
from ops.app.options import LOCALHOST, MAX_MB, PORT
from ops.app.page import CSS, SCRIPT, make_page
from ops.common.errors import EXIT_DONE, InputError
from ops.common.stop_signals import handled
from ops.common.text import first_line
from ops.models.network_name import model_name
from ops.predict.predictor import Predictor

log = logging.getLogger(__name__)

TITLE = "Video recognition"
FONTS = ("system-ui", "-apple-system", "sans-serif")
"""Gradio's own themes name fonts that it may load from elsewhere."""

POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; form-action 'self'; base-uri 'self'; frame-ancestors 'self'"
)
"""The Content-Security-Policy of every answer: browsers ask no other server for anything."""

QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_ALLOWED_PATHS": "",
    "GRADIO_DEBUG": "0",
    "GRADIO_MCP_SERVER": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Environment variables while Gradio runs: it reports nothing, and keeps no history in the browser."""


@dataclass(frozen=True)
class ServerOptions:
    """Where the page is served, and what it accepts; see `options`."""

    host: str = LOCALHOST
    port: int = PORT
    share: bool = False
    max_mb: int = MAX_MB


def serve(analyst: Analyst, options: ServerOptions) -> int:
    """Serve the page until SIGTERM; returns the exit status. KeyboardInterrupt at Ctrl-C, after cleaning up."""
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    with handled([signal.SIGTERM], stop), running(analyst, options) as address:
        log.info("the page is at %s (Ctrl-C ends it)", address)
        while not stopped.wait(1):
            pass
    return EXIT_DONE


@contextmanager
def running(analyst: Analyst, options: ServerOptions) -> Iterator[str]:
    """Serve the page within the block, in other threads; yields its address. InputError if that is not possible."""
    with private_cache() as folder:
        import gradio as gr

        page = make_page(analyst, TITLE, describe(analyst.predictor), write_examples(folder), options.max_mb)
        try:
            _, local, public = page.launch(
                server_name=options.host,
                server_port=options.port,
                share=options.share,
                max_file_size=options.max_mb * 1_000_000,
                prevent_thread_lock=True,
                quiet=True,
                inline=False,
                ssr_mode=False,
                mcp_server=False,
                pwa=False,
                enable_monitoring=False,
                footer_links=[],
                theme=gr.themes.Default(font=FONTS, font_mono=("ui-monospace", "monospace")),
                css=CSS.read_text("utf-8"),
                head=f"<script>{SCRIPT.read_text('utf-8')}</script>",
                app_kwargs={"middleware": [_policy()]},
            )
        except (OSError, ValueError) as error:
            raise InputError(_problem(options, error)) from None
        try:
            if options.share and not public:
                raise InputError("--share: Gradio's service gave no public address; try again later or without it")
            yield public or local
        finally:
            page.close(verbose=False)


def describe(predictor: Predictor) -> str:
    """The network in one line."""
    model = predictor.model
    name = model_name(model.arch, model.temporal)
    return f"{name}, {model.num_classes} classes · {os.path.basename(predictor.checkpoint.path)}"


@contextmanager
def private_cache() -> Iterator[Path]:
    """A folder that only this user can read, for all temporary files within the block; it is removed at the end."""
    before = {name: os.environ.get(name) for name in ("GRADIO_TEMP_DIR", *QUIET)}
    folder_before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="tam_page_", ignore_cleanup_errors=True) as name:
        os.environ.update(QUIET, GRADIO_TEMP_DIR=name)
        tempfile.tempdir = name
        try:
            yield Path(name)
        finally:
            tempfile.tempdir = folder_before
            for variable, value in before.items():
                os.environ.pop(variable, None)
                if value is not None:
                    os.environ[variable] = value


def _policy() -> Any:
    """Middleware that adds `POLICY` to every answer."""
    from starlette.middleware import Middleware

    class Policy:
        def __init__(self, app: Any) -> None:
            self._app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def send_with_policy(message: Any) -> None:
                if message["type"] == "http.response.start":
                    extra = [(b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer")]
                    message = {**message, "headers": [*message.get("headers", ()), *extra]}
                await send(message)

            await self._app(scope, receive, send_with_policy if scope["type"] == "http" else send)

    return Middleware(Policy)


def _problem(options: ServerOptions, error: Exception) -> str:
    where = f"--host {options.host} --port {options.port}"
    if "empty port" in str(error):
        return f"{where}: cannot be served there; the port is in use, or the address is not one of this machine"
    return f"{where}: cannot be served ({first_line(error)})"
