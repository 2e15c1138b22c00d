"""Values: constants, and what they are checked for."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.dtype import DType, QParams
from edgewise.errors import GraphError
from edgewise.graph import TensorType, Value


def test_a_constant_has_its_arrays_type_and_stays_as_it_is() -> None:
    data, quant = np.array([[1, 2, 3]], np.int8), QParams.per_tensor(0.5, 3)
    found = Value.constant("w", data, quant)
    assert found.name == "w"
    assert found.type == TensorType((1, 3), DType.INT8, quant)
    assert found.data is data
    with pytest.raises(ValueError, match="read-only"):
        data[0] = 0
    assert Value.constant("scale", np.array(2.0)).type == TensorType((), DType.FLOAT64)
    with pytest.raises(ValueError, match="datetime64"):
        Value.constant("when", np.zeros(1, "datetime64[s]"))


def test_data_are_what_the_type_says() -> None:
    for type in (TensorType((2,), DType.FLOAT32), TensorType((3,), DType.INT8)):
        with pytest.raises(GraphError, match=r"value 'x': data is float32\[3\], its type says"):
            Value("x", type, np.zeros(3, np.float32))
