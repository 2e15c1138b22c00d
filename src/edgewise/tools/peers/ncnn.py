"""ncnn as a peer: whole networks, and every blob."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...graph import Array
from ...importers import format_of
from ...importers.ncnn_file import is_network
from .base import Peer, check_count, module, two_files

NARROW = ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_packed", "bf16_storage")
"""Options of ncnn that keep numbers in 16 bits."""


class Ncnn(Peer):
    """A network in ncnn on the CPU, in float32.

    Arrays have a batch of 1 first, which ncnn's do not have.

    Args:
        model: the .param or the .bin; the other one is ``weights``, or has the same name.
        shapes: unused; ncnn takes the shapes of the arrays.
        light: let ncnn free blobs as it goes, as it does by default.

    Raises:
        MissingExtraError: ncnn is not installed.
        InputError: ncnn refuses the model.
    """

    def __init__(
        self,
        model: Path,
        threads: int = 1,
        shapes: Sequence[Sequence[int]] | None = None,
        light: bool = True,
        weights: Path | None = None,
    ) -> None:
        self._ncnn = module("ncnn", "comparing against ncnn", "ncnn")
        self._net = self._ncnn.Net()
        self._net.opt.num_threads = threads
        for option in NARROW:
            setattr(self._net.opt, f"use_{option}", False)
        format = format_of(model).name
        if format != "ncnn":
            raise InputError(f"--against ncnn: it reads no {format} files")
        is_first = is_network(model.read_bytes()) or model.suffix.lower() != ".bin"
        files = two_files("ncnn", model, weights, is_first, (".param", ".bin"))
        readers = (self._net.load_param, self._net.load_model)
        for path, read in zip(files, readers, strict=True):
            if read(str(path)):
                raise InputError(f"--against ncnn: cannot read {path}; it says why above")
        self._light = light
        self._inputs = list(self._net.input_names())
        self._outputs = list(self._net.output_names())
        self._given: list[Any] = []
        self._results: dict[str, Array] = {}

    @property
    def name(self) -> str:
        return f"ncnn {version('ncnn')}"

    @property
    def path(self) -> str:
        return "CPU, float32"

    @property
    def blobs(self) -> list[str]:
        """The names of all blobs that layers compute."""
        return [blob.name for blob in self._net.blobs() if blob.name not in self._inputs]

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        check_count("ncnn", arrays, len(self._inputs))
        for array in arrays:
            if array.shape[:1] != (1,):
                raise InputError(f"ncnn: an input of shape {list(array.shape)}; its batch is 1")
        self._given = [self._ncnn.Mat(np.ascontiguousarray(a[0])).clone() for a in arrays]

    def invoke(self) -> None:
        self.extract(self._outputs)

    def extract(self, names: Sequence[str]) -> None:
        """Run the model once, for the blobs of these names.

        Raises:
            InputError: a layer fails.
        """
        extractor = self._net.create_extractor()
        extractor.set_light_mode(self._light)
        for name, given in zip(self._inputs, self._given, strict=True):
            extractor.input(name, given)
        self._results = {}
        for name in names:
            status, result = extractor.extract(name)
            if status:
                raise InputError(f"ncnn cannot compute {name!r} (status {status})")
            self._results[name] = np.array(result)[None]

    def outputs(self) -> list[Array]:
        return list(self._results.values())

    def tensors(self, arrays: Sequence[Array]) -> dict[str, Array]:
        """Every blob that layers compute, by name."""
        self.set_inputs(arrays)
        self.extract(self.blobs)
        return dict(self._results)


class NcnnTensors:
    """Every blob of a model, as ncnn computes it.

    Raises: as `Ncnn`.
    """

    def __init__(
        self,
        model: Path,
        outputs: Sequence[str] = (),
        threads: int = 1,
        shapes: Sequence[Sequence[int]] | None = None,
        weights: Path | None = None,
    ) -> None:
        self._peer = Ncnn(model, threads, light=False, weights=weights)

    def run(self, arrays: Sequence[Array]) -> dict[str, Array]:
        """The computed blobs by name, in the order of the file's layers."""
        return self._peer.tensors(arrays)
