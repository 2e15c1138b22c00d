"""Which networks are quantized, with which data, and how the results are judged."""

from __future__ import annotations

from dataclasses import dataclass

from .datasets import (
    SIGNED,
    UNIT,
    Pixels,
    Source,
    cifar,
    levels,
    photographs,
    sounds,
)


@dataclass(frozen=True)
class Task:
    """A float network of the data folder.

    Attributes:
        file: its name in models/.
        source: its data.
        metric: by which settings are ranked and contestants compared: "top1" (share of pictures
            whose greatest output is their class's), "agreement" (share of places of an output
            [.., C] where the same channel is the greatest as in the float network's), else
            "sqnr" (decibel).
        background: the number of classes that the outputs have before the first.
        variant: what sets its name apart from another task's of the same file.
    """

    file: str
    source: Source
    metric: str = "sqnr"
    background: int = 0
    variant: str = ""

    @property
    def name(self) -> str:
        stem = self.file.rsplit(".", 1)[0]
        return stem.removesuffix("_float") + self.variant


BLUE_FIRST = Pixels((0.0,), (1.0,), True)
SINET = Pixels((102.890434, 111.25247, 126.91212), (62.93292, 62.82138, 66.355705), True)
PIECE = 1024 + 4 * 512
"""Samples of five frames."""

TASKS = (
    Task(
        "mobilenet_v1_0.25_224_float.tflite",
        photographs(SIGNED, 250, 250, crossed=True),
        "top1",
        background=1,
    ),
    Task("resnet8_cifar10_float.tflite", cifar(256, 6000), "top1"),
    Task("rfb320_float.tflite", photographs(Pixels((127.0,), (128.0,)))),
    Task("hourglass_pose_float.tflite", photographs(BLUE_FIRST, 24, 16)),
    Task("deeplabv3_257_float.tflite", photographs(SIGNED, 24, 16), "agreement"),
    Task("blazeface_short_range_f16.tflite", photographs(SIGNED)),
    Task("blazeface_front_f16.tflite", photographs(SIGNED)),
    Task("vww_96_float.tflite", photographs(UNIT)),
    Task("anomaly_float.tflite", sounds(levels, PIECE, 2048, mixed=True)),
    Task("anomaly_float.tflite", sounds(levels, PIECE, 2048), variant=", other sounds"),
    Task("portrait_segmentation_512_float.tflite", photographs(UNIT, 12, 8)),
    Task("style_transfer_384_f16.tflite", photographs(UNIT, 12, 8, style=True)),
    Task("pfld_float.onnx", photographs(UNIT)),
    Task("sinet_segmentation_float.onnx", photographs(SINET, 24, 16)),
    Task("fastestdet_float.onnx", photographs(Pixels((0.0,), (255.0,), True), 24, 16)),
    Task("yunet_n_float.onnx", photographs(BLUE_FIRST, 24, 16)),
)
