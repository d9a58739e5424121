"""Export a trained model to ONNX or OpenVINO: a file that runs without this project (see examples/onnx_predict.py).

    python tools/export.py --weights runs/mine/ckpt.best.pth.tar tanet.onnx
    python tools/export.py --weights kinetics.pth.tar tanet_fp16.onnx --precision fp16 --dataset kinetics --full_res
    python tools/export.py --weights ckpt.best.pth.tar tanet.xml --precision int8 --calibrate val.txt --root_path clips

The model takes uint8 clips [N, T, 3, H, W] for any N, normalises them itself and returns logits [N, K]. Its metadata
contain class names, segments, size and sampling. The file is written only if its runtime and PyTorch agree for one clip
and for three: to 1e-4 of the logits' norm, 1e-2 with fp16, 0.25 with int8, whose accuracy --verify_list shows.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops.common.arguments import Parser, add_segments_option, positive
from ops.common.console import start_logging
from ops.common.errors import EXIT_DONE, InputError, run
from ops.common.optional_packages import need
from ops.common.storage import check_writable
from ops.common.text import counted
from ops.export.options import turn_off_statistics
from ops.models.weights import check_weights
from ops.predict.inputs import check_distinct

PACKAGES = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("onnx", "onnxscript", "openvino")}


def main() -> int:
    """Export one model, and print how accurate and how fast it is."""
    args = make_parser().parse_args()
    start_logging()
    form = check_arguments(args)
    check_distinct([args.target], filter(None, (args.weights, args.class_names, args.calibrate, args.verify_list)))
    check_writable(args.target)
    check_weights(args.weights)
    turn_off_statistics()
    need(*PACKAGES[form], *(["nncf"] if args.precision == "int8" else []))
    import torch

    from ops.export.verification import accuracies, read_clips
    from ops.models.runtimes import open_session
    from ops.predict.predictor import open_predictor

    predictor = open_predictor(
        args.weights, args.dataset, args.class_names, f"{args.sampling}-1" if args.sampling else None,
        full_res=args.full_res, input_size=args.input_size, segments=args.segments,
    )  # fmt: skip
    listed = read_clips(predictor, args.verify_list, args.root_path) if args.verify_list else None
    if form == "onnx":
        from ops.export.onnx_export import export_onnx

        done, runtime = export_onnx(predictor, args.target, args.precision), "onnxruntime"
    else:
        from ops.export.openvino_export import MOST_CLIPS, export_openvino

        clips = read_clips(predictor, args.calibrate, args.root_path, MOST_CLIPS).clips if args.calibrate else ()
        done, runtime = export_openvino(predictor, args.target, args.precision, clips), "openvino"
    lines = [
        f"{runtime} and PyTorch, batch {batch}: logits differ by {largest:.2g} at most, {relative:.1e} relative"
        for batch, (largest, relative) in done.differences.items()
    ]
    lines.append(
        f"one clip on this CPU, {counted(torch.get_num_threads(), 'thread')}: PyTorch (fp32) "
        f"{1e3 * done.torch_seconds:.1f} ms, {runtime} ({args.precision}) {1e3 * done.file_seconds:.1f} ms"
    )
    if listed:
        before, after, count = accuracies(open_session(runtime, args.target), predictor, listed)
        lines.append(
            f"top-1 on {counted(count, 'clip')}: PyTorch (fp32) {before:.2f} %, {runtime} ({args.precision}) "
            f"{after:.2f} %"
        )
    lines.append(f"written: {args.target}, {size_of(args.target) / 1e6:.1f} MB")
    sys.stdout.write("\n".join(lines) + "\n")
    return EXIT_DONE


def check_arguments(args: argparse.Namespace) -> str:
    """The format of the file; InputError if arguments contradict each other."""
    ending = Path(args.target).suffix
    form: str = args.format or ("openvino" if ending == ".xml" else "onnx")
    if form == "openvino" and ending != ".xml":
        raise InputError(
            f"{args.target}: the name of an OpenVINO model must end in .xml (its weights go beside it, as .bin)"
        )
    if args.precision == "int8" and form != "openvino":
        raise InputError("--precision int8 needs --format openvino")
    if (args.precision == "int8") != bool(args.calibrate):
        raise InputError("--precision int8 and --calibrate LIST belong together")
    for path in filter(None, (args.calibrate, args.verify_list)):
        if not Path(path).is_file():
            raise InputError(f"{path}: no such list")
    return form


def size_of(target: str) -> int:
    """Bytes of the exported model, with OpenVINO's file of weights."""
    path = Path(target)
    files = {path, path.with_suffix(".bin")} if path.suffix == ".xml" else {path}
    return sum(file.stat().st_size for file in files)


def make_parser() -> argparse.ArgumentParser:
    """The parser of this tool."""
    parser = Parser(description=__doc__)
    parser.add_argument("target", metavar="OUT", help="the file to write: .onnx, or .xml for OpenVINO")
    parser.add_argument("--weights", required=True, metavar="CKPT",
                        help="checkpoint of this project, the published code or MMAction2")  # fmt: skip
    parser.add_argument("--format", choices=tuple(PACKAGES), help="default: by the ending of OUT")
    parser.add_argument("--precision", choices=("fp32", "fp16", "int8"), default="fp32",
                        help="precision of the weights (default: fp32)")  # fmt: skip
    parser.add_argument("--calibrate", metavar="LIST", help="videos whose values set the ranges of int8 (300 of them)")
    parser.add_argument("--verify_list", metavar="LIST", help="videos whose accuracy is printed before and after")
    parser.add_argument("--root_path", metavar="DIR", default="", help="folder that paths in these lists start from")
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
