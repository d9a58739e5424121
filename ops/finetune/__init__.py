"""Fine-tuning on one's own videos in one command, from the videos and a checkpoint to a report and a verdict.

The steps are the scripts that a user would call: `commands` makes their command lines, `steps` runs them.
"""

from typing import TYPE_CHECKING

from ops.common.lazy import lazy_names

if TYPE_CHECKING:
    from ops.finetune.commands import FineTuning as FineTuning
    from ops.finetune.commands import fine_tuning_of as fine_tuning_of
    from ops.finetune.steps import run_fine_tuning as run_fine_tuning
    from ops.finetune.steps import show_commands as show_commands

__getattr__ = lazy_names(
    __name__,
    {
        "FineTuning": "commands",
        "fine_tuning_of": "commands",
        "run_fine_tuning": "steps",
        "show_commands": "steps",
    },
)
