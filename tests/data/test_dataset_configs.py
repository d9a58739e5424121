"""Dataset configurations: locations of files, class names and published recipes."""

from pathlib import Path

import pytest
from torchvision.models.video import R3D_18_Weights

from ops.common.errors import InputError
from ops.data.dataset_configs import DATASETS, DatasetConfig, dataset_config


def test_kinetics_400_names_are_in_their_published_order() -> None:
    config = dataset_config("kinetics")
    assert config.class_names is not None
    names = config.class_names()
    assert len(names) == len(set(names)) == config.num_classes == 400
    assert names == sorted(names)
    assert names == R3D_18_Weights.KINETICS400_V1.meta["categories"]
    assert (names[0], names[6], names[-1]) == ("abseiling", "arm wrestling", "zumba")


@pytest.mark.parametrize("config", [config for config in DATASETS.values() if config.class_names], ids=lambda c: c.name)
def test_class_names_are_as_many_as_classes(config: DatasetConfig) -> None:
    assert config.class_names is not None
    assert len(set(config.class_names())) == config.num_classes


@pytest.mark.parametrize(
    ("name", "split", "kind", "path"),
    [
        ("kinetics", "train", "frames", "Kinetics400/annotations/train.txt"),
        ("kinetics", "val", "videos", "Kinetics400/k400_val_list.txt"),
        ("kinetics700", "test", "videos", "Kinetics700/k700_test_list.txt"),
        ("somethingv2", "val", "frames", "SomethingV2/annotations/val.txt"),
        ("ucf101", "train", "videos", "UCF101/ucf101_train_list.txt"),
    ],
)
def test_lists_are_in_the_published_places(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, split: str, kind: str, path: str
) -> None:
    config = dataset_config(name)
    assert config.list_path(split, kind) == Path("datasets", path)
    monkeypatch.setenv("TAM_DATASETS", str(tmp_path))
    assert config.list_path(split, kind) == tmp_path / path
    assert config.root() == tmp_path / Path(path).parts[0]


@pytest.mark.parametrize("kind", ["frames", "videos"])
def test_a_dataset_without_a_place_asks_for_lists(kind: str) -> None:
    with pytest.raises(InputError, match="custom has no default folder: give the lists and --root_path"):
        dataset_config("custom").list_path("train", kind)


def test_an_unknown_dataset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown dataset kinetcs; use one of kinetics, "):
        dataset_config("kinetcs")


@pytest.mark.parametrize("config", DATASETS.values(), ids=lambda config: config.name)
def test_entries_agree_with_themselves(config: DatasetConfig) -> None:
    assert DATASETS[config.name] is config
    assert all("{index" in pattern for pattern in (config.rgb, config.flow))
    if config.swap_pairs:
        assert config.swap and config.num_classes
        assert all(0 <= label < config.num_classes for pair in config.swap_pairs for label in pair)
    if config.recipe:
        assert list(config.recipe.lr_steps) == sorted(config.recipe.lr_steps)
        assert config.recipe.lr_steps[-1] < config.recipe.epochs


@pytest.mark.parametrize(
    ("name", "lr", "batch", "epochs", "steps", "dropout", "decay", "mirror", "dense"),
    [
        ("kinetics", 0.01, 64, 100, (50, 75, 90), 0.5, 1e-4, True, True),
        ("something", 0.01, 64, 50, (30, 40, 45), 0.6, 1e-3, False, False),
        ("somethingv2", 0.02, 128, 50, (30, 40, 45), 0.5, 5e-4, True, False),
    ],
)
def test_recipes_are_the_published_ones(
    name: str, lr: float, batch: int, epochs: int, steps: tuple[int, ...], dropout: float, decay: float,
    mirror: bool, dense: bool,
) -> None:  # fmt: skip
    config = dataset_config(name)
    assert config.recipe is not None
    recipe = config.recipe
    assert (recipe.lr, recipe.batch_size, recipe.epochs, recipe.lr_steps) == (lr, batch, epochs, steps)
    assert (recipe.dropout, recipe.weight_decay) == (dropout, decay)
    assert (config.mirror, config.dense) == (mirror, dense)
