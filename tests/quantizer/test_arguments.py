"""Arguments of `edgewise.quantize` that are of no use are told in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from float_nets import classifier

import edgewise as ew
from edgewise.errors import InputError

DATA = np.random.default_rng(0).normal(size=(4, 1, 8, 8, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"calibration": 5}, "samples: int; they come from a folder"),
        ({"calibration": object()}, "samples: object; they come from a folder"),
        ({"calibration": [None]}, "sample 0: "),
        ({"samples": "x"}, "limit 'x': at least one sample is needed"),
        ({"max_drop": "x"}, "max_drop='x'; it must be 0 or more points"),
        ({"max_drop": -1}, "max_drop=-1; it must be 0 or more points"),
        ({"max_latency": -1}, "max_latency=-1; it must be above 0 seconds"),
        ({"max_latency": "5ms"}, "max_latency='5ms'; it must be above 0 seconds"),
        ({"recipe": 5}, "recipe: 5; it is a Recipe"),
        ({"max_drop": 1, "score": 5}, "score: 5; it is a function"),
        ({"max_drop": 1, "score": lambda graph: "x"}, "score: it gave 'x' for a network"),
        ({"max_drop": 1, "score": lambda graph: np.nan}, "score: it gave nan for a network"),
        ({"progress": 5}, "progress: 5; it is a function"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        ew.quantize(classifier(), **{"calibration": DATA, **options})


def test_a_path_in_place_of_a_network() -> None:
    with pytest.raises(InputError, match="graph: str; it is a Graph, as"):
        ew.quantize("net.tflite", DATA)  # type: ignore[arg-type]
