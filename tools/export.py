"""Export a trained model to ONNX, OpenVINO, LiteRT or Core ML: a file that runs without this project.

    python tools/export.py --weights runs/mine/ckpt.best.pth.tar tanet.onnx
    python tools/export.py --weights kinetics.pth.tar tanet_fp16.onnx --precision fp16 --dataset kinetics --full_res
    python tools/export.py --weights ckpt.best.pth.tar tanet.xml --precision int8 --calibrate val.txt --root_path clips
    python tools/export.py --weights ckpt.best.pth.tar tanet.tflite --precision int8

The model takes uint8 clips [N, T, 3, H, W], normalises them itself and returns logits [N, K]. Its metadata contain
class names, segments, size and sampling. The file is written only if its runtime and PyTorch agree for three clips: to
1e-4 of the logits' norm, 1e-2 with fp16, 0.25 with int8, whose accuracy --verify_list shows. A Core ML model takes
float32 clips, and is compared on macOS only. N is 1 for LiteRT and Core ML.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops.common.arguments import Parser, add_segments_option, positive
from ops.common.console import start_logging
from ops.common.errors import EXIT_DONE, InputError, run
from ops.common.optional_packages import need
from ops.common.text import counted
from ops.export.options import FORMATS, check_target, computes_here, format_of, quiet_packages
from ops.models.weights import check_weights
from ops.predict.inputs import check_distinct


def main() -> int:
    """Export one model, and print how accurate and how fast it is."""
    args = make_parser().parse_args()
    start_logging()
    form = format_of(args.target, args.format, args.precision, bool(args.calibrate))
    check_lists(args, form)
    check_distinct([args.target], filter(None, (args.weights, args.class_names, args.calibrate, args.verify_list)))
    check_target(args.target, form)
    check_weights(args.weights)
    quiet_packages()
    need(*FORMATS[form].packages, *(["nncf"] if args.calibrate else []), note=FORMATS[form].note)
    import torch

    from ops.export.export_model import MOST_CLIPS, describe, export_model, open_exported
    from ops.export.verification import accuracies, read_clips
    from ops.predict.predictor import open_predictor

    predictor = open_predictor(
        args.weights, args.dataset, args.class_names, f"{args.sampling}-1" if args.sampling else None,
        full_res=args.full_res, input_size=args.input_size, segments=args.segments, runtime="torch",
    )  # fmt: skip
    listed = read_clips(predictor, args.verify_list, args.root_path) if args.verify_list else None
    clips = read_clips(predictor, args.calibrate, args.root_path, MOST_CLIPS).clips if args.calibrate else ()
    done = export_model(predictor, args.target, form, args.precision, clips)
    sys.stdout.write("\n".join(describe(done, form, args.precision, torch.get_num_threads())) + "\n")
    if listed:
        before, after, count = accuracies(open_exported(form, args.target), predictor, listed)
        sys.stdout.write(
            f"top-1 on {counted(count, 'clip')}: PyTorch (fp32) {before:.2f} %, "
            f"{FORMATS[form].runtime} ({args.precision}) {after:.2f} %\n"
        )
    sys.stdout.write(f"written: {args.target}, {size_of(args.target) / 1e6:.1f} MB\n")
    return EXIT_DONE


def check_lists(args: argparse.Namespace, form: str) -> None:
    """InputError if a list does not exist, or cannot be used."""
    if args.verify_list and not computes_here(form):
        raise InputError("--verify_list: Core ML computes on macOS only, so the accuracy cannot be told here")
    for path in filter(None, (args.calibrate, args.verify_list)):
        if not Path(path).is_file():
            raise InputError(f"{path}: no such list")


def size_of(target: str) -> int:
    """Bytes of the exported model, with OpenVINO's file of weights and all files in Core ML's folder."""
    path = Path(target)
    files = {path, path.with_suffix(".bin")} if path.suffix == ".xml" else {path, *path.rglob("*")}
    return sum(file.stat().st_size for file in files if file.is_file())


def make_parser() -> argparse.ArgumentParser:
    """The parser of this tool."""
    parser = Parser(description=__doc__)
    parser.add_argument("target", metavar="OUT",
                        help="the file: .onnx, .xml (OpenVINO), .tflite (LiteRT), .mlpackage (Core ML)")  # fmt: skip
    parser.add_argument("--weights", required=True, metavar="CKPT",
                        help="checkpoint of this project, the published code or MMAction2")  # fmt: skip
    parser.add_argument("--format", choices=tuple(FORMATS), help="default: by the ending of OUT")
    parser.add_argument("--precision", choices=("fp32", "fp16", "int8"), default="fp32",
                        help="precision of the weights (default: fp32)")  # fmt: skip
    parser.add_argument(
        "--calibrate", metavar="LIST", help="videos whose values set the ranges of OpenVINO's int8 (300 of them)"
    )
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
