"""Export a trained model to an ONNX file, which runs without this project (see examples/onnx_predict.py).

    python tools/export.py --weights runs/mine/ckpt.best.pth.tar tanet.onnx
    python tools/export.py --weights kinetics.pth.tar tanet_fp16.onnx --precision fp16 --dataset kinetics --full_res

The ONNX model takes uint8 clips [N, T, 3, H, W] for any N, normalises them itself and returns logits [N, K]. Its
metadata contain class names, segments, size and sampling. The file is written only if onnxruntime and PyTorch agree for
one clip and for three: to 1e-4 of the logits' norm, or to 1e-2 with fp16 (meant for GPUs).
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops.common.arguments import Parser, add_segments_option, positive
from ops.common.console import start_logging
from ops.common.errors import EXIT_DONE, run
from ops.common.optional_packages import need
from ops.common.storage import check_writable
from ops.predict.inputs import check_distinct


def main() -> int:
    """Export one model, and print how accurate and how fast it is."""
    args = make_parser().parse_args()
    start_logging()
    check_distinct([args.target], filter(None, (args.weights, args.class_names)))
    check_writable(args.target)
    need("onnx", "onnxscript", "onnxruntime")
    import torch

    from ops.export.onnx_export import export_onnx
    from ops.predict.predictor import open_predictor

    predictor = open_predictor(
        args.weights, args.dataset, args.class_names, f"{args.sampling}-1" if args.sampling else None,
        full_res=args.full_res, input_size=args.input_size, segments=args.segments,
    )  # fmt: skip
    done = export_onnx(predictor, args.target, args.precision)
    lines = [
        f"onnxruntime and PyTorch, batch {batch}: logits differ by {largest:.2g} at most, {relative:.1e} relative"
        for batch, (largest, relative) in done.differences.items()
    ]
    lines.append(
        f"one clip on this CPU, {torch.get_num_threads()} threads: PyTorch (fp32) {1e3 * done.torch_seconds:.1f} ms, "
        f"onnxruntime ({args.precision}) {1e3 * done.onnx_seconds:.1f} ms"
    )
    lines.append(f"written: {args.target}, {Path(args.target).stat().st_size / 1e6:.1f} MB")
    sys.stdout.write("\n".join(lines) + "\n")
    return EXIT_DONE


def make_parser() -> argparse.ArgumentParser:
    """The parser of this tool."""
    parser = Parser(description=__doc__)
    parser.add_argument("target", metavar="OUT.onnx", help="the file to write")
    parser.add_argument("--weights", required=True, metavar="CKPT",
                        help="checkpoint of this project, the published code or MMAction2")  # fmt: skip
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32",
                        help="precision of the ONNX model (default: fp32)")  # fmt: skip
    group = parser.add_argument_group("settings that the checkpoint does not contain")
    group.add_argument("--dataset", metavar="NAME", help="use its class names and sampling (default: as trained)")
    group.add_argument("--class_names", metavar="FILE",
                       help="file with one class name per line, in order of the labels")  # fmt: skip
    group.add_argument("--sampling", choices=("uniform", "dense"), help="how frames are chosen (default: as trained)")
    group.add_argument("--input_size", type=positive, metavar="PIXELS",
                       help="input size (default: as trained, else 224)")  # fmt: skip
    group.add_argument("--full_res", action="store_true", help="crop squares as large as the short side (256 for 224)")
    add_segments_option(group, "--segments", type=positive, metavar="T",
                        help="frames per clip, for a model without TAM (default: as trained)")  # fmt: skip
    return parser


if __name__ == "__main__":
    run(main)
