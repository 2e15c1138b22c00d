"""upsample_*: the modes of ``torch.nn.functional.interpolate``, and its antialias."""

from __future__ import annotations

from ...graph import Value
from ..resampling import Axis, Rule, resize
from ..torch_call import Call, Reader

FAR = 2.0**31
"""A ratio so great that all positions are before the first element's centre."""


def upsample(mode: str, *, exact: bool = False, antialias: bool = False) -> Reader:
    """x [N, C, ...] to ``output_size``, or by ``scale_factors``."""

    def read(call: Call) -> Value:
        x = call.value("input" if "input" in call.arguments else "self")
        size = x.type.shape[2:]
        factors = call.get("scale_factors")
        if factors is None:
            names = ("scales",) if len(size) == 1 else ("scales_d", "scales_h", "scales_w")
            given = [call.get(name) for name in names[-len(size) :]]
            factors = None if None in given else given
        if call.get("output_size") is None:
            if factors is None:
                raise call.error("neither output_size nor scale_factors is given")
            target = [int(n * f) for n, f in zip(size, factors, strict=True)]
        else:
            target = list(call.ints("output_size"))
        corners = call.flag("align_corners")
        if mode == "nearest":
            rule = Rule(
                mode,
                "half_pixel" if exact else "asymmetric",
                "round_prefer_ceil" if exact else "floor",
            )
        else:
            where = "align_corners" if corners and not antialias else "half_pixel"
            cubic = -0.5 if antialias else -0.75
            rule = Rule(mode, where, cubic=cubic, exclude_outside=antialias, antialias=antialias)
        axes = [Axis(n, n, 1.0) for n in x.type.shape[:2]]
        for i, (n, m) in enumerate(zip(size, target, strict=True)):
            ratio = m / n if n else 1.0
            if corners and antialias:  # between centres of the outermost, but counted as half_pixel
                ratio = FAR if m == 1 else (m - 1) / max(n - 1, 1)
            own = factors is not None and not (corners and mode != "nearest")
            axes.append(Axis(n, m, float(factors[i]) if own else ratio))
        return resize(call.b, x, rule, axes)

    return read


OPERATORS: dict[str, Reader] = {
    "_upsample_bicubic2d_aa": upsample("cubic", antialias=True),
    "_upsample_bilinear2d_aa": upsample("linear", antialias=True),
    "_upsample_nearest_exact1d": upsample("nearest", exact=True),
    "_upsample_nearest_exact2d": upsample("nearest", exact=True),
    "_upsample_nearest_exact3d": upsample("nearest", exact=True),
    "upsample_bicubic2d": upsample("cubic"),
    "upsample_bilinear2d": upsample("linear"),
    "upsample_linear1d": upsample("linear"),
    "upsample_nearest1d": upsample("nearest"),
    "upsample_nearest2d": upsample("nearest"),
    "upsample_nearest3d": upsample("nearest"),
    "upsample_trilinear3d": upsample("linear"),
}
