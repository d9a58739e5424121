"""Weights from the Hugging Face Hub: the real huggingface_hub against a server on this machine; and from folders."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import ROOT, Call
from models.hub_server import REPOSITORY, HubServer, serving

from ops.common.errors import InputError
from ops.models.checkpoint import save_checkpoint
from ops.models.hub import HubRepository, parse_repository
from ops.models.recognizer import build_model
from ops.models.weights import check_weights, local_weights, results_beside

OLD, NEW = "a" * 40, "b" * 40

Fetch = Callable[..., "subprocess.CompletedProcess[str]"]

FETCH = "import sys\nfrom ops.common.errors import run\nfrom ops.models.weights import local_weights\n"
FETCH += "run(lambda: print(local_weights(sys.argv[1])) or 0)"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HubServer]:
    """A repository whose tag v1 has other weights than its main branch."""
    for commit in (OLD, NEW):
        weights = f"weights of {commit}".encode()
        (tmp_path / commit).mkdir()
        (tmp_path / commit / "model.safetensors").write_bytes(weights)
        config = {"sha256": hashlib.sha256(weights).hexdigest()}
        (tmp_path / commit / "config.json").write_text(json.dumps(config))
        (tmp_path / commit / "README.md").write_text("not needed")
    old, new = tmp_path / OLD, tmp_path / NEW
    with serving({"main": new, NEW: new, "v1": old, OLD: old}) as running:
        yield running


@pytest.fixture
def fetch(server: HubServer, tmp_path: Path) -> Fetch:
    """Finds weights in a process of its own: huggingface_hub reads its settings when it is imported."""
    pytest.importorskip("huggingface_hub")

    def run(name: str, status: int = 0, **settings: str) -> "subprocess.CompletedProcess[str]":
        env = {**os.environ, "HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT),
               "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1", **settings}  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", FETCH, name], env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run


def read(done: "subprocess.CompletedProcess[str]") -> str:
    return Path(done.stdout.strip()).read_text()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hf:someone/tanet", HubRepository("someone/tanet")),
        ("hf:someone/tanet@v1.0", HubRepository("someone/tanet", "v1.0")),
        ("hf:someone/tanet@refs/pr/1", HubRepository("someone/tanet", "refs/pr/1")),
    ],
)
def test_names_of_repositories(name: str, expected: HubRepository) -> None:
    assert parse_repository(name) == expected
    check_weights(name)  # downloads nothing
    assert results_beside(name, "test") == Path("tanet/test")


@pytest.mark.parametrize(
    "name", ["hf:", "hf:tanet", "hf:a/b/c", "hf:a/b@", "hf:../b", "hf:a/..", "hf:a/b@x y", "hf:a/-b"]
)
def test_what_is_no_name_of_a_repository(name: str) -> None:
    with pytest.raises(InputError, match="must be hf:owner/name"):
        check_weights(name)


def test_only_what_is_needed_is_downloaded_and_only_once(fetch: Fetch, server: HubServer) -> None:
    assert read(fetch(f"hf:{REPOSITORY}")) == f"weights of {NEW}"
    got = [request for request in server.requests if request.startswith("GET") and "/resolve/" in request]
    assert sorted(request.rpartition("/")[2] for request in got) == ["config.json", "model.safetensors"]
    server.requests.clear()
    assert read(fetch(f"hf:{REPOSITORY}")) == f"weights of {NEW}"
    assert not [request for request in server.requests if request.startswith("GET") and "/resolve/" in request]


def test_a_revision(fetch: Fetch) -> None:
    assert read(fetch(f"hf:{REPOSITORY}@v1")) == f"weights of {OLD}"
    assert read(fetch(f"hf:{REPOSITORY}@{NEW}")) == f"weights of {NEW}"


def test_without_a_network_the_cache_is_used(fetch: Fetch) -> None:
    fetch(f"hf:{REPOSITORY}")
    assert read(fetch(f"hf:{REPOSITORY}", HF_HUB_OFFLINE="1")) == f"weights of {NEW}"
    assert read(fetch(f"hf:{REPOSITORY}", HF_ENDPOINT="http://127.0.0.1:9")) == f"weights of {NEW}"
    for settings in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        err = fetch(f"hf:{REPOSITORY}@v1", status=2, **settings).stderr
        assert err.splitlines()[-1].startswith(f"error: hf:{REPOSITORY}@v1: it is not in the cache")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hf:someone/other", "hf:someone/other: there is no such repository, or it is private"),
        (f"hf:{REPOSITORY}@v9", f"hf:{REPOSITORY}@v9: the repository has no such revision"),
    ],
)
def test_what_is_not_there_is_one_line(name: str, says: str, fetch: Fetch) -> None:
    assert fetch(name, status=2).stderr.splitlines()[-1].startswith(f"error: {says}")


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_repository_without_a_file(file: str, fetch: Fetch, server: HubServer) -> None:
    (server.revisions["main"] / file).unlink()
    err = fetch(f"hf:{REPOSITORY}", status=2).stderr
    assert err.splitlines()[-1].startswith(f"error: hf:{REPOSITORY}: has no {file}")


def test_a_wrong_size(fetch: Fetch, server: HubServer) -> None:
    server.cut = 3
    err = fetch(f"hf:{REPOSITORY}", status=2, HF_HUB_DOWNLOAD_TIMEOUT="1").stderr
    assert err.splitlines()[-1].startswith(f"error: hf:{REPOSITORY}: cannot be downloaded (")
    server.cut = 0
    assert read(fetch(f"hf:{REPOSITORY}")) == f"weights of {NEW}"


def test_a_wrong_hash(fetch: Fetch, server: HubServer) -> None:
    (server.revisions["main"] / "model.safetensors").write_bytes(b"other weights")
    err = fetch(f"hf:{REPOSITORY}", status=2).stderr.splitlines()[-1]
    assert "model.safetensors: has SHA-256 " in err and "but config.json was written for" in err


@pytest.mark.parametrize("config", ["no json", "[]"])
def test_a_config_that_is_none(config: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=r"config\.json"):
        local_weights(str(tmp_path))


def test_the_package_is_named_where_it_is_missing(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match="pip install huggingface_hub"):
        local_weights(f"hf:{REPOSITORY}")


def test_a_folder_says_that_a_video_may_have_several_labels(call: Call, tmp_path: Path) -> None:
    model = build_model("resnet18", 2, 4)
    recipe = {"train_list": "/home/someone/lists/train.txt", "tune_from": "hf:a/b", "lr": 0.01}
    meta = {"class_names": ["jump", "run"], "multi_label": True, "results": {"best_mAP": 87.5}, "recipe": recipe}
    save_checkpoint(tmp_path / "ckpt.pth.tar", model, meta)
    call("tools/convert_checkpoint.py", "ckpt.pth.tar", "upload", "--to", "hf")
    config = json.loads((tmp_path / "upload" / "config.json").read_text())
    assert config["multi_label"] is True and config["problem_type"] == "multi_label_classification"
    card = (tmp_path / "upload" / "README.md").read_text()
    assert "Best validation mAP 87.50 %" in card and "the sigmoid of each score" in card
    assert "train_list train.txt, tune_from hf:a/b, lr 0.01" in card, "folders of this machine are not published"
    assert not any(b"someone" in path.read_bytes() for path in (tmp_path / "upload").iterdir())
    call("tools/convert_checkpoint.py", "ckpt.pth.tar", "upload", "--to", "hf")  # once more


@pytest.mark.parametrize("name", ["README.md", "config.json"])
def test_files_of_another_kind_are_not_replaced(name: str, call: Call, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "ckpt.pth.tar", build_model("resnet18", 2, 4), {})
    (tmp_path / name).write_text("{}")
    err = call("tools/convert_checkpoint.py", "ckpt.pth.tar", ".", "--to", "hf", status=2).err
    assert f".: has a {name} that --to hf did not write" in err and len(err.splitlines()) == 1
    assert (tmp_path / name).read_text() == "{}" and not (tmp_path / "model.safetensors").exists()


def test_from_a_checkpoint_to_the_hub_and_back(call: Call, server: HubServer, fetch: Fetch, tmp_path: Path) -> None:
    names = ["jump", "run | <b>"]
    model = build_model("resnet18", 2, 4)
    meta = {"class_names": names, "input_size": 32, "dataset": "custom", "results": {"best_top1": 87.5}}
    save_checkpoint(tmp_path / "ckpt.pth.tar", model, meta)
    upload = tmp_path / ("c" * 40)
    call("tools/convert_checkpoint.py", "ckpt.pth.tar", upload, "--to", "hf")
    assert sorted(path.name for path in upload.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    config = json.loads((upload / "config.json").read_text())
    assert (config["arch"], config["num_segments"], config["id2label"]) == (
        "resnet18",
        4,
        {"0": names[0], "1": names[1]},
    )
    assert config["multi_label"] is False and config["problem_type"] == "single_label_classification"
    card = (upload / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: tam\n") and "Best validation top-1 87.50 %" in card
    assert "0. jump\n1. run &#124; &#60;b&#62;\n" in card and "| resolution | 32 x 32" in card
    assert "TANet-18" in call("tools/show_checkpoint.py", upload).out

    server.revisions |= {"main": upload, upload.name: upload}
    found = fetch(f"hf:{REPOSITORY}").stdout.strip()
    assert Path(found).read_bytes() == (upload / "model.safetensors").read_bytes()
    (upload / "model.safetensors").write_bytes(b"damaged")
    assert "has SHA-256" in call("tools/show_checkpoint.py", upload, status=2).err
