"""Custom operators of users: `register_custom`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .errors import InputError
from .graph import Node

if TYPE_CHECKING:
    from .ops import Op
    from .ops.custom import Function, Inference


def register_custom(
    name: str,
    operator: type[Op] | Function,
    *,
    infer: Inference | None = None,
    read: Callable[[bytes], Mapping[str, Any]] | None = None,
    lowering: Callable[[Any, Node], None] | None = None,
) -> type[Op]:
    """Make files with the custom operator ``name`` loadable; a later registration replaces it.

    Args:
        name: the custom code, as the file spells it.
        operator: a function ``f(*arrays, **options)`` that gives an array or several, and leaves
            those that it is given as they are; it runs between two native calls. Or a subclass of
            ``edgewise.ops.Op`` whose attributes have the names of the options.
        infer: for a function, ``infer(*types, **options)``: the ``TensorType`` of its output, or
            of each.
        read: the options from their bytes, by name; by default a flexbuffer's map.
        lowering: for a class, what emits its kernels, as those of ``edgewise.plan.lowering``.

    Returns:
        The operator's class.

    Raises:
        InputError: a function without ``infer``, or a class with it; a function with ``lowering``.
    """
    if isinstance(operator, type):
        if infer is not None:
            raise InputError(f"custom operator {name!r}: a class infers by its own method")
        made = operator
    else:
        if infer is None or lowering is not None:
            rule = "a function needs infer=" if infer is None else "a function has no lowering"
            raise InputError(f"custom operator {name!r}: {rule}")
        from .ops.custom import custom_function

        made = custom_function(name, operator, infer)
    from .importers import tflite_ops

    tflite_ops.register(name, made, read)
    if lowering is not None:
        from .plan.lowering import LOWERINGS

        LOWERINGS[made] = lowering
    return made
