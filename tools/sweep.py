"""Train several settings with several seeds, and compare them in one table and on one page.

    python tools/sweep.py --out runs/sweep --set lr=0.01,0.02 --set dropout=0.5,0.8 --seeds 0 1 2 -- \\
        online_main.py custom RGB --train_list train.txt --val_list val.txt --root_path clips --num_class 5 --tam

After -- comes a training command, main.py or online_main.py with its flags. Every combination of the values of --set is
trained with every seed, in DIR/NAME, one on each GPU at a time, or one after the other on a CPU. A switch has the
values true and false (--set tam=true,false), values of several words have spaces (--set "lr_steps=20 40,30 60").

Writes DIR/sweep.csv, sweep.md and report.html: for each setting the validation top-1 (mAP with --multi_label) of the
last and of the best epoch, as means with standard deviations over seeds. The output of each training goes to
DIR/output/NAME.txt.

--engine tune runs them as trials of Ray Tune, on a cluster if RAY_ADDRESS names one.

The same command continues an interrupted sweep: finished runs are kept, and the others resume. Values and seeds can be
added. Exit status: 0 done, 1 done but some runs failed (these are tried again next time), 2 bad input, 3 stopped.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops import sweep
from ops.common.console import start_logging
from ops.common.errors import EXIT_DONE, run


def main() -> int:
    """Check all command lines, then run them or show them."""
    args, command = sweep.parse_sweep(__doc__)
    runs = sweep.runs_of(args, command)
    if args.dry_run:
        sys.stdout.write("".join(f"{sweep.shown(run)}\n" for run in runs))
        return EXIT_DONE
    start_logging()
    return sweep.run_all(Path(args.out), runs, args.gpus, args.jobs, args.engine)


if __name__ == "__main__":
    run(main)
