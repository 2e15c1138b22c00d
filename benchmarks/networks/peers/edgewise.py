"""Edgewise itself, as the peers are."""

from __future__ import annotations

from collections.abc import Sequence

import edgewise
from edgewise.errors import InputError
from edgewise.graph import Array, Graph
from edgewise.tools.facts import Compiling


class Edgewise:
    """A network compiled by Edgewise, by kernels of the instruction set ``isa``."""

    def __init__(
        self, graph: Graph, threads: int, isa: str | None = None, precision: str | None = None
    ) -> None:
        self._program = Compiling(isa, precision=precision).program(graph, threads)
        self._precision = precision

    @property
    def name(self) -> str:
        return f"Edgewise {edgewise.__version__}"

    @property
    def path(self) -> str:
        return f"{self._program.isa.name}, {self._precision or 'f32'}"

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        for view, array in zip(self._program.input_views(), arrays, strict=True):
            view[...] = array

    def invoke(self) -> None:
        self._program.invoke()

    def outputs(self) -> list[Array]:
        return [view.copy() for view in self._program.output_views()]

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        self.set_inputs(arrays)
        self.invoke()
        return self.outputs()


class EdgewiseBf16(Edgewise):
    """The same with products of bfloat16, where the processor has instructions for them.

    Raises:
        InputError: it has none, or the network has no float products.
    """

    def __init__(self, graph: Graph, threads: int, isa: str | None = None) -> None:
        super().__init__(graph, threads, isa, "bf16")
        if self._program.isa.bf16_dot is None:
            raise InputError(f"{self._program.isa.name} has no instructions for bfloat16")
        if not any(n.macs and n.input_types[0].dtype.is_float for n in graph.nodes):
            raise InputError("has no float products")
