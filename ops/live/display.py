"""Showing live predictions: a line in the terminal, lines of JSON, or a window."""

import json
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ops.common.text import counted, one_line
from ops.live.camera import Image
from ops.live.inference import LivePrediction

TOP = 5
NOTHING = "–"
DESKTOP_SECONDS = 30.0
"""How long a desktop may take to open a window."""
ROWS = 3
"""How many classes the window shows."""


@dataclass(frozen=True)
class Shown:
    """What is shown of a prediction: its best classes after smoothing, and which of them are likely enough.

    `labels` are in the order of `top`, and at most one if a video has one class.
    """

    live: LivePrediction
    top: Sequence[tuple[str, float]]
    labels: Sequence[str]

    @property
    def label(self) -> str | None:
        """The best class, None if it is not likely enough."""
        return self.labels[0] if self.labels else None

    @property
    def state(self) -> str:
        """Frame rate, latency, and the number of dropped frames."""
        live = self.live
        state = f"{live.fps:.1f} frames/s, latency {live.latency_s:.2f} s"
        return f"{state}, dropped {counted(live.dropped_frames, 'frame')} and {counted(live.skipped_windows, 'window')}"

    @property
    def line(self) -> str:
        """The prediction and the state in one line."""
        share = f"{100 * self.top[0][1]:5.1f} %"
        return f"{self.live.stop_s:8.1f} s  {share}  {one_line(', '.join(self.labels) or NOTHING)}  ({self.state})"

    def as_json(self) -> dict[str, Any]:
        """All figures as plain data, for programs."""
        live = self.live
        several = live.prediction.shares is not None
        scores = "probabilities" if several else "logits"
        return {
            "start_s": round(live.start_s, 6), "end_s": round(live.stop_s, 6),
            "label": self.label, **({"labels": list(self.labels)} if several else {}),
            "top": [{"class": name, "probability": share} for name, share in self.top],
            scores: [float(value) for value in live.prediction.logits],
            "latency_s": round(live.latency_s, 4), "fps": round(live.fps, 2),
            "dropped_frames": live.dropped_frames, "skipped_windows": live.skipped_windows,
        }  # fmt: skip


class Display(ABC):
    """Shows predictions as they come, and the newest frame, if `shows_images`."""

    shows_images = False
    interval = 0.1
    """Seconds between two calls of `refresh`."""

    @abstractmethod
    def show(self, shown: Shown) -> None:
        """Show a new prediction."""

    def refresh(self, image: Image | None) -> bool:
        """Show the newest frame, BGR; returns False if the user has closed the display."""
        return not getattr(sys.stdout, "is_closed", False)

    def close(self) -> None:
        """Restore the terminal, or close the window."""
        return


class JsonLines(Display):
    """One JSON object per line on standard output."""

    def show(self, shown: Shown) -> None:
        """See `Display.show`."""
        sys.stdout.write(json.dumps(shown.as_json(), allow_nan=False) + "\n")
        sys.stdout.flush()


class TerminalLine(Display):
    """One line that is overwritten as long as the label stays the same; in a file, one line per prediction."""

    def __init__(self) -> None:
        self._written = False
        self._labels: Sequence[str] = ()

    def show(self, shown: Shown) -> None:
        """See `Display.show`."""
        if not sys.stdout.isatty():
            sys.stdout.write(shown.line + "\n")
        else:
            columns = shutil.get_terminal_size().columns - 1
            new = "\n" if self._written and shown.labels != self._labels else "\r"
            sys.stdout.write(new + shown.line[:columns].ljust(columns))
            self._written, self._labels = True, shown.labels
        sys.stdout.flush()

    def close(self) -> None:
        """See `Display.close`."""
        if self._written:
            sys.stdout.write("\n")
            sys.stdout.flush()


class Window(Display):
    """The camera's picture in a window of the desktop, with the best classes; q, Esc or closing it ends the tool."""

    shows_images = True
    interval = 1 / 60

    def __init__(self, title: str, names: Sequence[str]) -> None:
        import cv2

        self._title, self._names, self._shown = title, names, None
        cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)

    _shown: Shown | None

    def show(self, shown: Shown) -> None:
        """See `Display.show`."""
        self._shown = shown

    def refresh(self, image: Image | None) -> bool:
        """See `Display.refresh`."""
        import cv2

        if image is not None:
            cv2.imshow(self._title, draw_prediction(image, self._shown, self._names))
        key = cv2.waitKey(1) & 0xFF
        return key not in (ord("q"), 27) and cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1

    def close(self) -> None:
        """See `Display.close`."""
        import cv2

        cv2.destroyAllWindows()


def draw_prediction(image: Image, shown: Shown | None, names: Sequence[str]) -> Image:
    """A copy of `image`, BGR, with the best classes in the lower left and the state in the upper left corner."""
    import cv2

    from ops.predict.overlay import Canvas, blend, draw_panel

    canvas = Canvas(*image.shape[:2])
    picture = canvas.place(image)
    if shown is None:
        return picture
    several = shown.live.prediction.shares is not None
    rows = list(shown.top[: min(ROWS, len(shown.labels)) if several else ROWS]) if shown.labels else [(NOTHING, 0.0)]
    blend(picture, draw_panel(rows, *canvas.size, names))
    width = cv2.getTextSize(shown.state, cv2.FONT_HERSHEY_SIMPLEX, 1, 1)[0][0]
    size = min(max(0.35, min(canvas.size) / 1000), (canvas.size[1] - 12) / width)  # small pictures have less room
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):  # a dark edge, for bright pictures
        cv2.putText(picture, shown.state, (6, round(34 * size)), cv2.FONT_HERSHEY_SIMPLEX, size, colour, thickness,
                    cv2.LINE_AA)  # fmt: skip
    return picture


def has_desktop() -> bool:
    """Whether a window can be opened here.

    This is tried in another process, because OpenCV ends the process if it has no access to the display, and waits
    without end for a display that does not answer.
    """
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    code = "import cv2; cv2.namedWindow('test'); cv2.destroyAllWindows()"
    try:
        tried = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=DESKTOP_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return tried.returncode == 0
