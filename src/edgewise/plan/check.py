"""Every operand of a plan lies inside its buffer, so that no kernel leaves the arena."""

from __future__ import annotations

from ..errors import CompileError
from ..kernels.views import SLACK
from .model import CONSTANTS, Address, Plan, Step, View


def check(plan: Plan) -> None:
    """Compare every view's and every pointer's place with the size of its buffer.

    A step's views tell all bytes that it reads or writes on purpose, padding included; so do
    those of the parts of a fused one, in buffers of which a scratch holds some rows.

    Raises:
        CompileError: naming the step and the operand that does not fit (a defect of the plan).
    """
    constants = plan.constants.nbytes - SLACK
    sizes = {buffer: buffer.nbytes for buffer in plan.offsets} | {CONSTANTS: constants}
    for buffer, offset in plan.offsets.items():
        if not 0 <= offset <= plan.arena_bytes - SLACK - buffer.nbytes:
            raise CompileError(
                f"buffer {buffer.name!r}: {buffer.nbytes} bytes at {offset} do not lie inside "
                f"the arena of {plan.arena_bytes}"
            )

    def fits(view: View) -> bool:
        first, last = view.extent
        return 0 <= first <= last <= sizes.get(view.address.buffer, -1)

    for index, step in enumerate(plan.steps):
        parts = step.parts if isinstance(step, Step) else ()
        sizes |= {v.address.buffer: v.address.buffer.nbytes for p in parts[:-1] for v in p.writes}
        for view in (*step.views, *(v for part in parts for v in part.views)):
            if not fits(view):
                raise CompileError(f"{_named(plan, index)}: {_place(view)}")
        if not isinstance(step, Step):
            continue
        for name, x in step.params.items():
            if isinstance(x, Address) and not 0 <= x.offset <= sizes.get(x.buffer, -1):
                raise CompileError(
                    f"{_named(plan, index)}: {name} points to byte {x.offset} of {_size(x)}"
                )
    for value, place in (*plan.inputs, *plan.outputs):
        if isinstance(place, View) and not fits(place):
            raise CompileError(f"value {value.name!r}: {_place(place)}")


def _named(plan: Plan, index: int) -> str:
    step = plan.steps[index]
    node = plan.nodes[step.node]
    kernel = step.kernel.symbol if isinstance(step, Step) else "its reference"
    return f"step {index}, {kernel} of {node.op.name} {node.origin!r}"


def _place(view: View) -> str:
    first, last = view.extent
    return f"{view.type} takes bytes {first} to {last} of {_size(view.address)}"


def _size(address: Address) -> str:
    if address.buffer is CONSTANTS:
        return "the constants"
    return f"buffer {address.buffer.name!r}, which has {address.buffer.nbytes}"
