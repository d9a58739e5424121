"""Fine-tune a checkpoint on your own videos: make lists, train, test, report, and say whether it is better than chance.

    python tools/finetune.py clips --weights ckpt.best.pth.tar
    python tools/finetune.py labels.csv --root_path videos --weights ckpt.best.pth.tar --out mine --epochs 25 --lr 0.002

DATA is one of:
    clips/jump/a.mp4, clips/run/b.mp4, …           folders of classes: a share of each is drawn for testing
    clips/train/jump/a.mp4, clips/val/jump/b.mp4   the same, already divided (also validation, or test)
    clips/jump/0001/img_00001.jpg                  folders of frames, in either way
    labels.csv, list.txt                           paths and labels, which are class names or numbers

Depth, segments, temporal module, dropout and input size are those of CKPT. Flags of main.py or online_main.py may
follow and are passed on, such as --lr 0.002, --seed 1 or -j 4. OUT gets the lists, checkpoints and curves, the results
of the test, and report.html. Training ends after 15 validations without a better one; the test uses the last epoch.

The same command continues an interrupted run. If videos were added, it names them and trains again with all videos;
the others keep their split, and the earlier results are kept in OUT/earlier. Exit status: 0 done, 1 done but
some videos could not be read, 2 bad input, 3 stopped by a signal with everything saved, or by an error.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops import finetune
from ops.common.console import start_logging
from ops.common.errors import EXIT_DONE, run
from ops.finetune.options import finetune_parser


def main() -> int:
    """Check the arguments, then run the steps or show them."""
    args, flags = finetune_parser(__doc__).parse_known_args()
    tuning = finetune.fine_tuning_of(args, flags)
    start_logging()
    if args.dry_run:
        sys.stdout.write("".join(f"{command}\n" for command in finetune.show_commands(tuning)))
        return EXIT_DONE
    return finetune.run_fine_tuning(tuning)


if __name__ == "__main__":
    run(main)
