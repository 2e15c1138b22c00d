"""OpenVINO as a peer."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...graph import Array
from .base import Peer, check_count, module, reason

PRECISION = "INFERENCE_PRECISION_HINT"


class OpenVINO(Peer):
    """A .tflite model in OpenVINO on the CPU, for inputs of fixed ``shapes``.

    It reads the file itself, and computes what is quantized there as it chooses to; the rest in
    ``precision``, or where that is None in the one that it prefers on this machine.

    Raises:
        MissingExtraError: openvino is not installed.
        InputError: OpenVINO refuses the model.
    """

    def __init__(
        self,
        model: Path,
        threads: int = 1,
        shapes: Sequence[Sequence[int]] | None = None,
        precision: str | None = "f32",
    ) -> None:
        openvino = module("openvino", "comparing against OpenVINO", "openvino")
        settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads}
        if precision is not None:
            settings[PRECISION] = precision
        core = openvino.Core()
        try:
            network = core.read_model(str(model))
            if shapes is not None:
                network.reshape(dict(zip(network.inputs, map(list, shapes), strict=True)))
            compiled = core.compile_model(network, "CPU", settings)
            self._request = compiled.create_infer_request()
        except (RuntimeError, ValueError) as error:
            raise InputError(f"--against openvino: cannot run the model: {reason(error)}") from None
        self._is_default = precision is None
        self._precision = compiled.get_property(PRECISION).to_string()
        self._tensor = openvino.Tensor
        self._inputs, self._outputs = len(compiled.inputs), len(compiled.outputs)

    @property
    def name(self) -> str:
        suffix = ", default precision" if self._is_default else ""
        return f"OpenVINO {version('openvino')}{suffix}"

    @property
    def path(self) -> str:
        """The precision is the one in force."""
        return f"CPU plugin, {PRECISION} {self._precision}"

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        check_count("OpenVINO", arrays, self._inputs)
        for index, array in enumerate(arrays):
            try:
                tensor = self._tensor(np.asarray(array, order="C"))
                self._request.set_input_tensor(index, tensor)
            except RuntimeError as error:
                raise InputError(f"OpenVINO refuses an input: {reason(error)}") from None

    def invoke(self) -> None:
        self._request.infer()

    def outputs(self) -> list[Array]:
        tensors = (self._request.get_output_tensor(i) for i in range(self._outputs))
        return [np.array(tensor.data) for tensor in tensors]
