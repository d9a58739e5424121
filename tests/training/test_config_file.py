"""Settings from a file: they are those of the run that wrote it, the command line wins, and mistakes are one line."""

import json
from pathlib import Path
from typing import Any

import media
import pytest
from conftest import Call

from ops.common.errors import InputError
from ops.training.config_file import OF_ONE_RUN
from ops.training.options import train_parser

GIVEN = [
    *("custom", "Flow", "--train_list", "a b.txt", "--tam", "--tam_branches", "global", "--temporal_stages", "2", "3"),
    *("--lr", "0.00003", "--lr_steps", "5", "7.5", "-b", "6", "--wd", "5e-4", "--freeze", "stages", "2", "--gd", "20"),
    *("--ckpt_interval", "15m", "--non_local", "--seed", "7", "--no_partialbn", "--log_every", "2", "--k", "3"),
    *("--segments", "3", "--frame_template", "im_%03d.png"),
]
OF_THE_RUN = ["--store_name", "x", "--resume", "auto", "--max_steps", "3", "--device", "cpu", "--gpus", "0", "-j", "3"]


def parse(*words: str, decoders: tuple[str, ...] = ()) -> Any:
    return train_parser(None, decoders).parse_args(words)


def write(path: Path, content: Any) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_args_json_gives_the_same_settings_again(tmp_path: Path) -> None:
    written = parse(*GIVEN, *OF_THE_RUN)
    file = write(tmp_path / "args.json", {"command": ["main.py"], "arguments": vars(written), "device": "cpu"})
    again, plain = parse("--config", file), parse("custom", "Flow")
    for name, value in vars(again).items():
        assert value == vars(plain if name in OF_ONE_RUN else written)[name] or name == "config", name
    assert again.config == file and {"lr", "dropout", "dataset", "num_segments"} <= again.given
    assert "store_name" not in again.given and "class_names" not in again.given


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--lr", "0.5"], {"lr": 0.5, "batch_size": 6}),
        (["--lr_steps", "9"], {"lr_steps": [9.0]}),
        (["--num_segments", "5"], {"num_segments": 5}),
        (["--temporal", "tsm"], {"temporal": "tsm", "tam": False, "shift": False}),
        (["--shift"], {"temporal": None, "tam": False, "shift": True}),
        (["--store_name", "y"], {"store_name": "y"}),
        (["--freeze", "none"], {"freeze": "none"}),
        (["--lr_steps", "9", "--", "kinetics", "RGB"], {"dataset": "kinetics", "modality": "RGB", "lr": 0.00003}),
    ],
)
def test_the_command_line_wins(words: list[str], wanted: dict[str, Any], tmp_path: Path) -> None:
    file = write(tmp_path / "args.json", {"arguments": vars(parse(*GIVEN))})
    for command in ([f"--config={file}", *words], ["--config", file, *words]):
        assert vars(parse(*command)).items() >= wanted.items()
    ours = parse("kinetics", "RGB", *words[: words.index("--") if "--" in words else None], "--config", file)
    assert (ours.dataset, ours.modality) == ("kinetics", "RGB")


def test_what_the_command_line_leaves_out_is_taken_from_the_file(tmp_path: Path) -> None:
    file = write(tmp_path / "args.json", {"arguments": vars(parse(*GIVEN))})
    for words in (["kinetics", "--config", file], ["--config", file, "kinetics", "--lr_steps", "9"]):
        parsed = parse(*words)
        assert (parsed.dataset, parsed.modality, parsed.batch_size) == ("kinetics", "Flow", 6)
    only = write(tmp_path / "lr.json", {"lr": 0.1, "dataset": "custom"})
    with pytest.raises(InputError, match="required: modality"):
        parse("kinetics", "--config", only)
    with pytest.raises(InputError, match="required: dataset, modality"):
        parse("--config", only)


def test_a_file_of_ones_own_may_name_any_flag(tmp_path: Path) -> None:
    mine = {"dataset": "custom", "modality": "RGB", "batch-size": 4, "wd": 1, "store_name": "mine", "lr_steps": 3}
    args = parse(
        "--config", write(tmp_path / "c.json", {**mine, "npb": False, "tam": True, "resume": None, "non_local": ""})
    )
    assert (args.batch_size, args.weight_decay, args.store_name, args.lr_steps, args.tam) == (4, 1, "mine", [3], True)
    assert "no_partialbn" not in args.given and "resume" not in args.given
    args = parse("custom", "RGB", "--config", write(tmp_path / "d.json", {"decoder": "b"}), decoders=("a", "b"))
    assert args.decoder == "b"


@pytest.mark.parametrize(
    ("content", "wanted"),
    [({"multi_label": True}, True), ({"multi_label": False}, False), ({"no-multi_label": True}, False)],
)
def test_a_switch_that_can_be_turned_off_counts_as_given(content: Any, wanted: bool, tmp_path: Path) -> None:
    """--tune_from would take it over from the checkpoint otherwise."""
    args = parse("custom", "RGB", "--config", write(tmp_path / "c.json", content))
    assert args.multi_label is wanted and "multi_label" in args.given


MISTAKES = {
    "unknown": ({"dropuot": 0.5}, r"'dropuot' is no setting of .*; did you mean 'dropout'\?"),
    "of the other script": ({"decoder": "pyav"}, "'decoder' is no setting"),
    "itself": ({"config": "c.json"}, "'config' is no setting"),
    "a value out of range": ({"lr": -1}, "argument --lr.*: '-1' must be a number above 0"),
    "no choice": ({"lr_type": "cosine"}, "argument --lr_type: invalid choice: 'cosine'"),
    "no such modality": ({"modality": "rgb"}, "argument modality: invalid choice: 'rgb'"),
    "not a whole number": ({"epochs": 2.5}, "argument --epochs: '2.5' must be an integer"),
    "a switch": ({"tam": 1}, "--tam must be true or false, not 1"),
    "no switch": ({"train_list": True}, "--train_list must be a number or text, not true"),
    "a list": ({"lr": [0.1, 0.2]}, "--lr takes one value, not a list"),
    "an object": ({"root_path": {}}, r"--root_path must be a number or text, not \{\}"),
    "an empty list": ({"lr_steps": []}, "argument --lr_steps: expected at least one argument"),
    "nan": ('{"lr": NaN}', "argument --lr.*: 'nan' must be a number above 0"),
    "no JSON": ('{"lr":\n 0.1,}', "line 2 is not JSON"),
    "no object": ("[1, 2]", "must be a JSON object of settings"),
    "nested too deeply": ("[" * 100_000, "must be a JSON object of settings"),
    "too large": ('{"suffix": "' + "x" * 2**20 + '"}', "must be a JSON object of settings"),
    "a setting twice": ({"lr": 0.1, "learning-rate": 0.2}, "'learning-rate' is given twice, the other time as 'lr'"),
    "a name twice": ('{"lr": 0.1, "lr": 0.2}', "'lr' is given twice"),
    "a wrong module": ({"temporal": "tam", "tam_kernel": 4}, "argument --tam_kernel: '4' must be an odd number"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_the_file_is_one_line_that_names_it(case: str, tmp_path: Path) -> None:
    content, message = MISTAKES[case]
    file = write(tmp_path / "c.json", content)
    with pytest.raises(InputError, match=message) as caught:
        parse("custom", "RGB", "--config", file)
    assert file in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_not_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"\xff\xfe")
    for file, reason in (("none.json", "No such file"), (".", "Is a directory"), ("b", "not UTF-8")):
        with pytest.raises(InputError, match=rf"--config .*: cannot be read \({reason}"):
            parse("custom", "RGB", "--config", str(tmp_path / file))
    with pytest.raises(InputError, match="argument --config: expected one argument"):
        parse("custom", "RGB", "--config")
    with pytest.raises(InputError, match="the following arguments are required: dataset, modality"):
        parse("--config", write(tmp_path / "c.json", {"lr": 0.1}))
    with pytest.raises(InputError, match="unrecognized arguments: --tamm"):
        parse("--config", write(tmp_path / "c.json", {"dataset": "custom", "modality": "RGB"}), "--tamm")


def test_a_run_is_given_again_from_its_args_json(tmp_path: Path, call: Call) -> None:
    for number in range(2):
        media.write_video(tmp_path / f"{number}.mp4", 8, seed=number)
    (tmp_path / "l.txt").write_text("0.mp4 8 0\n1.mp4 8 1\n")
    train = ["custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", ".", "--num_class", "2"]
    train += ["--arch", "resnet18", "--pretrain", "none", "--num_segments", "2", "-b", "2", "--npb", "--input_size"]
    call("online_main.py", *train, "32", "-j", "0", "--device", "cpu", "--epochs", "1", "--store_name", "a")
    file = "checkpoints/a/args.json"
    said = call("online_main.py", "--config", file, "--dry_run", "--device", "cpu", "-j", "0").out
    assert f"settings: from {file} and the command line" in said and "2 frames of 32 x 32" in said
    assert "'decoder' is no setting of main.py" in call("main.py", "--config", file, status=2).err
