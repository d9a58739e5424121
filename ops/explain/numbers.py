"""Collecting the numbers of explained videos, and writing them for further analysis."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.common.storage import atomic_file
from ops.data.datasets import Failure
from ops.explain.explainer import Explanation, class_name
from ops.explain.kernel_spread import KernelSpread, spreads_of
from ops.predict.predictor import Predictor


class Numbers:
    """The numbers of all videos so far, without pixels: about 0.2 MB per video for a TANet-50 with 8 frames."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.rows: list[dict[str, Any]] = []
        self.failures: list[Failure] = []
        self._arrays: list[dict[str, NDArray[Any]]] = []

    def add(self, explanation: Explanation) -> None:
        """Add the numbers of one video."""
        video, clip, prediction = explanation.video, explanation.clip, explanation.prediction
        names, best = self.predictor.class_names, int(prediction.logits.argmax())
        evidence = explanation.cam.sum(axis=(1, 2))  # [T]
        self.rows.append({
            "name": video.name,
            "path": video.path,
            "label": class_name(video.label, names) if video.label >= 0 else None,
            "prediction": class_name(best, names),
            "right": best == video.label if video.label >= 0 else None,
            "top5": [{"class": name, "probability": round(share, 6)} for name, share in prediction.top()],
            "frames": clip.frames.tolist(),
            "cut_short": clip.truncated,
            "target": class_name(explanation.target, names),
            "target_logit": round(float(prediction.logits[explanation.target]), 5),
            "frame_evidence": [round(float(value), 5) for value in evidence],
        })  # fmt: skip
        arrays: dict[str, NDArray[Any]] = {
            "frames": clip.frames, "logits": prediction.logits, "targets": np.array(explanation.target),
            "cam": explanation.cam,
        }  # fmt: skip
        arrays |= {f"kernel/{block}": kernel for block, kernel in explanation.watch.kernels.items()}
        arrays |= {f"importance/{block}": values for block, values in explanation.watch.importance.items()}
        self._arrays.append(arrays)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays, stacked over videos: see `write_arrays`."""
        stacked = {name: np.stack([arrays[name] for arrays in self._arrays]) for name in self._arrays[0]}
        return {"names": np.array([row["name"] for row in self.rows], dtype=str), **stacked}

    def kernels(self) -> dict[str, NDArray[np.float32]]:
        """The kernels of all videos, `[V, C, K]` by block; empty for a network without TAM."""
        blocks = [name for name in self._arrays[0] if name.startswith("kernel/")] if self._arrays else []
        return {name.removeprefix("kernel/"): np.stack([each[name] for each in self._arrays]) for name in blocks}

    def logits(self) -> NDArray[np.float32]:
        """`[V, K]`."""
        return np.stack([arrays["logits"] for arrays in self._arrays])

    def spreads(self) -> list[KernelSpread]:
        """The spread of each block's kernels over the videos."""
        return spreads_of(self.kernels())

    def write_arrays(self, path: Path) -> None:
        """`explain.npz`, compressed, for V videos: names `[V]`, frames `[V, T]`, logits `[V, K]`, targets `[V]`, cam
        `[V, T, h, w]`, and for each block `kernel/layer1.0` `[V, C, K]` and `importance/layer1.0` `[V, C, T]`.
        """
        with atomic_file(path) as file:
            np.savez_compressed(file, **self.arrays())  # type: ignore[arg-type]

    def write_summary(self, path: Path, fixed: "FixedKernels | None") -> None:
        """`explain.json`: the model, each video, what failed, and each block in a few numbers."""
        predictor = self.predictor
        model = predictor.model
        content = {
            "weights": predictor.checkpoint.path,
            "arch": model.arch,
            "tam": model.tam,
            "temporal": model.temporal.as_meta(),
            "segments": model.num_segments,
            "sample": str(predictor.sample),
            "input_size": predictor.shape.input_size,
            "videos": self.rows,
            "failures": [{"path": failure.path, "reason": failure.reason} for failure in self.failures],
            "blocks": [_block(spread) for spread in self.spreads()],
            "fixed_kernels": vars(fixed) if fixed else None,
        }
        with atomic_file(path, "w", encoding="utf-8", errors="backslashreplace") as file:
            json.dump(content, file, indent=1, ensure_ascii=False)
            file.write("\n")


class FixedKernels:
    """Comparison of the predictions with those of fixed kernels, which do not adapt.

    Attributes:
        videos: how many were scored both ways.
        same: how many predictions are the same.
        labelled, right, right_fixed: how many have a label, and are right with their own and with fixed kernels.
        probability, probability_fixed: mean probability of the class that was predicted with own kernels.
    """

    def __init__(self, own: NDArray[np.float32], fixed: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        """`own` and `fixed` are logits `[V, K]`, `labels [V]` (-1: none)."""
        best, best_fixed = own.argmax(axis=1), fixed.argmax(axis=1)
        known = labels >= 0
        self.videos = len(own)
        self.same = int((best == best_fixed).sum())
        self.labelled = int(known.sum())
        self.right = int((best == labels)[known].sum())
        self.right_fixed = int((best_fixed == labels)[known].sum())
        self.probability = _probability(own, best)
        self.probability_fixed = _probability(fixed, best)


def _probability(logits: NDArray[np.float32], classes: NDArray[np.int64]) -> float:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    shares = powers[np.arange(len(powers)), classes] / powers.sum(axis=1)
    return round(float(shares.mean()), 6)


def _block(spread: KernelSpread) -> dict[str, Any]:
    """One block in a few numbers; null for those that need more than one video."""
    fixed, common, own = spread.shares()
    return {
        "block": spread.block,
        "channels": spread.channels,
        "mean": _numbers(spread.mean),
        "std": _numbers(spread.deviation),
        "change_between_videos": _numbers(spread.change),
        "share_fixed": _number(fixed),
        "share_common": _number(common),
        "share_own": _number(own),
    }


def _numbers(values: Sequence[float] | NDArray[np.float64]) -> list[float | None]:
    return [_number(float(value)) for value in values]


def _number(value: float) -> float | None:
    return round(value, 6) if value == value else None
