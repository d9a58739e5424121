"""ImageNet weights and files for the backbone are found, refused, or reported in one line if unavailable."""

from pathlib import Path

import pytest
import torch

from ops.common.errors import InputError
from ops.common.tensor_files import load_tensors
from ops.models.checkpoint import read_checkpoint
from ops.models.recognizer import build_model
from ops.models.resnet import build_resnet


def test_a_backbone_file_fills_the_network_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    source = build_model("resnet18", 3, 2)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "weights.pth")
    filled = build_model("resnet18", 7, 4, pretrain=str(tmp_path / "weights.pth"))
    key = "base_model.layer3.1.net.conv2.weight"
    assert torch.equal(filled.state_dict()[key], source.state_dict()[key])
    plain = build_model("resnet18", 7, 4, tam=False, pretrain=str(tmp_path / "weights.pth"))
    assert torch.equal(plain.state_dict()[key.replace(".net", "")], source.state_dict()[key])
    with pytest.raises(InputError, match="not the weights of a resnet34"):
        build_model("resnet34", 7, 4, pretrain=str(tmp_path / "weights.pth"))


def test_a_backbone_that_is_given_as_a_model_is_called_one(tmp_path: Path) -> None:
    torch.save(build_resnet("resnet18").state_dict(), tmp_path / "weights.pth")
    with pytest.raises(
        InputError, match=r"weights\.pth: .*a plain image network, such as ImageNet weights.* --pretrain"
    ):
        read_checkpoint(tmp_path / "weights.pth")


def test_imagenet_weights_that_cannot_be_downloaded_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # no server listens on this port
    with pytest.raises(InputError, match="cannot download the ImageNet weights of resnet18") as caught:
        build_model("resnet18", 3, 2, pretrain="imagenet")
    assert "\n" not in str(caught.value) and "--pretrain" in str(caught.value)


def test_imagenet_weights_come_from_torchvisions_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    from torchvision.models import ResNet18_Weights, resnet18

    state = resnet18().state_dict()
    torch.save(state, tmp_path / "made")
    digest = hashlib.sha256((tmp_path / "made").read_bytes()).hexdigest()[:8]
    url = f"https://download.pytorch.org/models/resnet18-{digest}.pth"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "made").rename(tmp_path / "checkpoints" / f"resnet18-{digest}.pth")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr(ResNet18_Weights.IMAGENET1K_V1.value, "url", url)
    model = build_model("resnet18", 3, 2, pretrain="imagenet")
    assert torch.equal(model.state_dict()["base_model.conv1.weight"], state["conv1.weight"])
    assert load_tensors(tmp_path / "checkpoints" / f"resnet18-{digest}.pth").keys() == state.keys()
