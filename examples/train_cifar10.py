"""Train the small image classifier that Edgewise ships, and write it as an 8-bit .tflite file.

    python examples/train_cifar10.py train cifar10_jpeg.npz cifar10.pt
    python examples/train_cifar10.py export cifar10_jpeg.npz cifar10.pt cifar10.tflite

It needs `pip install 'edgewise[torch]'`. The pictures are CIFAR-10's, as JPEG bytes in a .npz file:
picture i of the training set is ``train_jpeg[train_offsets[i] : train_offsets[i + 1]]``, its class
``classes[train_labels[i]]``; the test set's names begin with ``test``.
"""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
import typer
from PIL import Image
from rich.progress import track
from torch import Tensor, nn

import edgewise as ew

STEM = 24
BLOCKS = ((48, 2), (96, 2), (96, 1), (192, 2))
"""Channels and stride of each residual block: 0.85 million parameters, 36 million multiply-adds."""

SIZE = 32
MEAN = STD = 128.0
"""Inputs are (pixel - 128) / 128: quantized, they are the picture's own bytes."""

SHIFT = 2
CUT = 24
"""The side of the parts of pictures that are seen first, which take half the time."""

PEAK = 0.25
"""The share of the training after which the learning rate is largest."""

app = typer.Typer(add_completion=False, help=__doc__)


class Pictures:
    """One half of the data, ``train`` or ``test``, decoded.

    Attributes:
        pixels: uint8 [N, 32, 32, 3].
        labels: int64 [N].
        classes: the names of the classes.
    """

    def __init__(self, file: Path, half: str) -> None:
        with np.load(file) as arrays:
            jpeg, offsets = arrays[f"{half}_jpeg"], arrays[f"{half}_offsets"]
            self.labels = torch.from_numpy(arrays[f"{half}_labels"].astype(np.int64))
            self.classes = [str(name) for name in arrays["classes"]]
        ends = itertools.pairwise(offsets)
        self.pixels = torch.from_numpy(np.stack([decoded(jpeg[a:b].tobytes()) for a, b in ends]))


def decoded(jpeg: bytes) -> npt.NDArray[np.uint8]:
    """The picture's pixels, [32, 32, 3]."""
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


def normalized(pixels: Tensor) -> Tensor:
    """Pixels [N, H, W, 3] as the network takes them: [N, 3, H, W], channels last in memory."""
    return (pixels.permute(0, 3, 1, 2).float() - MEAN) / STD


def convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


class Block(nn.Module):
    """relu(convolution(relu(convolution(x))) + x); where shapes differ, x goes through a mean of
    2x2 pixels and a 1x1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = convolution(inputs, outputs, 3, stride)
        self.second = convolution(outputs, outputs, 3)
        steps = [nn.AvgPool2d(stride)] if stride > 1 else []
        if inputs != outputs:
            steps.append(convolution(inputs, outputs, 1))
        self.shortcut = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


class Network(nn.Module):
    """[N, 3, 32, 32] -> [N, 10]: a convolution, residual blocks, a mean, a product."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        widths = [STEM, *(width for width, _ in BLOCKS)]
        self.stem = nn.Conv2d(3, STEM, 3, padding=1)
        self.blocks = nn.Sequential(
            *(Block(a, b, stride) for a, (b, stride) in zip(widths, BLOCKS, strict=False))
        )
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(torch.relu(self.stem(x)))
        return self.head(x.mean(dim=(2, 3)))

    def whiten(self, pictures: Tensor) -> None:
        """Fix the first convolution: it gives the main components of 3x3 patches of ``pictures``,
        each of variance 1, and their negatives.
        """
        patches = nn.functional.unfold(pictures, 3).transpose(1, 2).flatten(0, 1)
        values, vectors = torch.linalg.eigh(patches.T.cov())
        main = (vectors / (values + 1e-3).sqrt()).T.flip(0)[: STEM // 2]
        weights = torch.cat([main, -main]).unflatten(1, (3, 3, 3))
        self.stem.weight = nn.Parameter(weights, requires_grad=False)


class Batches:
    """The training pictures in a random order, each shifted by up to 2 pixels or cut out at
    random, and mirrored in every other epoch.

    Attributes:
        side: height and width of what is given.
    """

    def __init__(self, pictures: Pictures, size: int, side: int, seed: int) -> None:
        self.size = size
        self.side = side
        self.labels = pictures.labels
        self.random = torch.Generator().manual_seed(seed)
        self.mirrored_first = self.integers(2, len(self.labels))
        edges = ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0))
        self.padded = torch.from_numpy(np.pad(pictures.pixels.numpy(), edges, mode="reflect"))

    def __len__(self) -> int:
        return len(self.labels) // self.size

    def integers(self, end: int, count: int) -> Tensor:
        return torch.randint(end, (count,), generator=self.random)

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(inputs, labels) of each batch; the rest that does not fill one is left out."""
        order = torch.randperm(len(self.labels), generator=self.random)
        for chosen in order[: len(self) * self.size].split(self.size):
            mirrored = (self.mirrored_first[chosen] + number) % 2 == 1
            yield self.inputs(chosen, mirrored), self.labels[chosen]

    def inputs(self, chosen: Tensor, mirrored: Tensor) -> Tensor:
        line, places = torch.arange(self.side), self.padded.shape[1] - self.side + 1
        rows = self.integers(places, len(chosen))[:, None] + line
        columns = self.integers(places, len(chosen))[:, None] + line
        columns = torch.where(mirrored[:, None], columns.flip(1), columns)
        return normalized(self.padded[chosen[:, None, None], rows[:, :, None], columns[:, None]])


def accuracy(network: nn.Module, pictures: Pictures) -> float:
    """The share of pictures whose class the network gives the largest score."""
    network.eval()
    with torch.inference_mode():
        best = [network(normalized(part)).argmax(1) for part in pictures.pixels.split(500)]
    return (torch.cat(best) == pictures.labels).double().mean().item()


def save(network: nn.Module, file: Path) -> None:
    """Write the weights so that an interruption leaves the file as it was."""
    part = file.with_name(file.name + ".part")
    torch.save(network.state_dict(), part)
    part.replace(file)


Data = Annotated[Path, typer.Argument(exists=True, help="The pictures, a .npz file.")]


@app.command()
def train(
    data: Data,
    checkpoint: Annotated[Path, typer.Argument(help="The weights, written after each epoch.")],
    epochs: Annotated[int, typer.Option(min=1)] = 50,
    minutes: Annotated[float, typer.Option(help="End by then, after fewer epochs.")] = 1e9,
    batch: Annotated[int, typer.Option(min=1)] = 128,
    rate: Annotated[float, typer.Option(help="The largest learning rate.")] = 0.1,
    decay: Annotated[float, typer.Option(help="Weight decay.")] = 5e-4,
    smoothing: Annotated[float, typer.Option(help="Label smoothing.")] = 0.2,
    cut: Annotated[float, typer.Option(help="Share of the training on parts of pictures.")] = 0.5,
    start: Annotated[Path | None, typer.Option(exists=True, help="Weights to begin with.")] = None,
    seed: int = 0,
    compiled: Annotated[bool, typer.Option(help="Use torch.compile: faster; needs g++.")] = False,
) -> None:
    """Train the network; SGD with one cycle of the learning rate.

    Whitening and mirroring by turns are from Keller Jordan, "94% on CIFAR-10 in 3.29 Seconds on a
    Single GPU", 2024.
    """
    torch.manual_seed(seed)
    test = Pictures(data, "test")
    pictures = Pictures(data, "train")
    if batch > len(pictures.labels):
        raise typer.BadParameter(f"--batch {batch}: there are {len(pictures.labels)} pictures")
    batches = Batches(pictures, batch, CUT if cut else SIZE, seed)
    network = Network(len(test.classes)).to(memory_format=torch.channels_last)
    network.whiten(normalized(pictures.pixels[:5000]))
    if start is not None:
        network.load_state_dict(torch.load(start, weights_only=True))
    forward = torch.compile(network, dynamic=False) if compiled else network
    loss_of = nn.CrossEntropyLoss(label_smoothing=smoothing)
    optimizer = torch.optim.SGD(
        [p for p in network.parameters() if p.requires_grad],
        lr=rate,
        momentum=0.9,
        nesterov=True,
        weight_decay=decay,
    )
    started = time.monotonic()
    steps, total = 0, epochs * len(batches)
    for epoch in range(epochs):
        network.train()
        losses = 0.0
        for x, labels in track(batches.epoch(epoch), f"epoch {epoch + 1}", len(batches)):
            done = max(steps / total, (time.monotonic() - started) / 60 / minutes)
            if done >= 1:
                break
            optimizer.param_groups[0]["lr"] = rate * min(done / PEAK, (1 - done) / (1 - PEAK))
            batches.side = CUT if done < cut else SIZE
            loss = loss_of(forward(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses += loss.item()
            steps += 1
        save(network, checkpoint)
        print(
            f"epoch {epoch + 1}: loss {losses / len(batches):.3f},"
            f" {100 * accuracy(network, test):.2f} % of the test pictures,"
            f" {(time.monotonic() - started) / 60:.1f} minutes",
            flush=True,
        )
        if done >= 1:
            break


@app.command()
def export(
    data: Data,
    checkpoint: Annotated[Path, typer.Argument(exists=True, help="The weights.")],
    model: Annotated[Path, typer.Argument(help="The .tflite file to write.")],
    samples: Annotated[int, typer.Option(min=1, help="Training pictures to calibrate with.")] = 512,
) -> None:
    """Quantize the network to 8 bits, inputs and outputs too, and write it."""
    test = Pictures(data, "test")
    network = Network(len(test.classes))
    network.load_state_dict(torch.load(checkpoint, weights_only=True))
    graph = ew.from_torch(
        nn.Sequential(network, nn.Softmax(1)).eval(),
        (torch.zeros(1, 3, SIZE, SIZE),),
        channels_last=True,
    )
    about = {
        "description": "Classifier of 32x32 pictures, trained on CIFAR-10 by train_cifar10.py",
        "labels": test.classes,
        "input_normalization": {"mean": [MEAN], "std": [STD]},
    }
    graph = replace(graph, metadata={**graph.metadata, **about})
    calibration = Pictures(data, "train").pixels[:samples].numpy()
    found = ew.quantize(graph, calibration, recipe={"inputs": "int8", "outputs": "int8"})
    ew.save(found.graph, model)
    program = ew.compile(ew.load(model))
    pixels = (test.pixels.numpy() - 128).astype(np.int8)
    best = [int(program(picture[None]).argmax()) for picture in track(pixels, "testing")]
    right = (np.array(best) == test.labels.numpy()).mean()
    print(f"float32: {100 * accuracy(network, test):.2f} % of {len(pixels)} test pictures")
    print(f"int8: {100 * right:.2f} %, {model.stat().st_size} bytes")


if __name__ == "__main__":
    app()
