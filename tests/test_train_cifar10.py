"""examples/train_cifar10.py: from pictures to a network of 8 bits that knows them."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import edgewise as ew

torch = pytest.importorskip("torch")

from examples import train_cifar10 as example  # noqa: E402


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark and bright noise, two classes, as the script takes them."""
    random = np.random.default_rng(0)
    arrays = {"classes": np.array(["night", "day"])}
    for half, count in (("train", 96), ("test", 40)):
        labels = np.arange(count) % 2
        files = []
        for label in labels:
            file = io.BytesIO()
            noise = random.integers(0, 128, (32, 32, 3)) + 127 * label
            Image.fromarray(noise.astype(np.uint8)).save(file, "JPEG")
            files.append(np.frombuffer(file.getvalue(), np.uint8))
        arrays[f"{half}_jpeg"] = np.concatenate(files)
        arrays[f"{half}_offsets"] = np.cumsum([0, *map(len, files)])
        arrays[f"{half}_labels"] = labels.astype(np.uint8)
    path = tmp_path_factory.mktemp("pictures") / "pictures.npz"
    np.savez(path, **arrays)
    return path


def run(*words: object) -> str:
    result = CliRunner().invoke(example.app, [str(word) for word in words])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_train_and_export(pictures: Path, tmp_path: Path) -> None:
    weights, model = tmp_path / "network.pt", tmp_path / "network.tflite"
    shown = run("train", pictures, weights, "--epochs", 4, "--batch", 16)
    assert len(re.findall(r"^epoch \d: loss", shown, re.MULTILINE)) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["network.pt"]

    shown = run("export", pictures, weights, model, "--samples", 16)
    assert "float32: 100.00 % of 40 test pictures" in shown
    assert "int8: 100.00 %" in shown
    graph = ew.load(model)
    assert graph.metadata["labels"] == ["night", "day"]
    assert str(graph.inputs[0].type).startswith("int8[1x32x32x3]")


def test_time_ends_the_training(pictures: Path, tmp_path: Path) -> None:
    shown = run("train", pictures, tmp_path / "network.pt", "--batch", 32, "--minutes", 1e-6)
    assert shown.count("% of the test pictures") == 1


def test_a_batch_is_no_larger_than_the_data(pictures: Path, tmp_path: Path) -> None:
    words = ("train", str(pictures), str(tmp_path / "network.pt"), "--batch", "97")
    result = CliRunner().invoke(example.app, words)
    assert result.exit_code == 2
    assert "--batch 97: there are 96 pictures" in result.output


def test_mirroring_takes_turns(pictures: Path) -> None:
    """In two epochs that follow each other each picture is seen once as it is, once mirrored."""
    whole = 32 + 2 * example.SHIFT
    batches = example.Batches(example.Pictures(pictures, "train"), 96, whole, seed=0)
    seen = []
    for epoch in range(2):
        ((x, labels),) = batches.epoch(epoch)
        assert x.shape == (96, 3, 36, 36)
        assert x.is_contiguous(memory_format=torch.channels_last)
        assert labels.bincount().tolist() == [48, 48]
        seen.append({picture.numpy().tobytes() for picture in x})
    assert not seen[0] & seen[1]
    mirrored = {
        np.frombuffer(p, np.float32).reshape(3, 36, 36)[..., ::-1].tobytes() for p in seen[0]
    }
    assert mirrored == seen[1]


def test_whitening_gives_components_of_equal_variance(pictures: Path) -> None:
    inputs = example.normalized(example.Pictures(pictures, "train").pixels)
    network = example.Network(2)
    network.whiten(inputs)
    given = torch.nn.functional.conv2d(inputs, network.stem.weight)
    half = example.STEM // 2
    torch.testing.assert_close(given[:, :half], -given[:, half:])
    variances = given[:, :half].var(dim=(0, 2, 3))
    assert ((variances > 0.8) & (variances < 1.05)).all()


def test_training_goes_on_from_weights(pictures: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.pt", tmp_path / "second.pt"
    run("train", pictures, first, "--epochs", 1, "--batch", 32)
    run("train", pictures, second, "--start", first, "--batch", 32, "--rate", 0, "--epochs", 1)
    before, after = (torch.load(file, weights_only=True) for file in (first, second))
    learned = [name for name in before if name.endswith(("weight", "bias"))]
    assert len(learned) > 20
    for name in learned:
        torch.testing.assert_close(after[name], before[name])
