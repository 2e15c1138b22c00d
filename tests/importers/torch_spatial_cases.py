"""Convolutions, pools, resizing, normalisation, products."""

from __future__ import annotations

import random
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch_cases import Case, Table

table = Table()
case, normal, whole = table.case, table.normal, table.whole

x4 = normal(2, 6, 7, 9)
x3 = normal(2, 6, 11)
x5 = normal(1, 4, 5, 6, 7)
for k, f, w in (("conv1", F.conv1d, normal(4, 6, 3)),):
    case(k, lambda a, w, f=f: f(a, w, stride=2, padding=1, dilation=2), x3, w)
    case(k + "b", lambda a, w, bb: F.conv1d(a, w, bb, groups=2), x3, normal(4, 3, 3), normal(4))
    case(k + "same", lambda a, w: F.conv1d(a, w, padding="same"), x3, w)
case(
    "conv2",
    lambda a, w, bb: F.conv2d(a, w, bb, stride=(2, 1), padding=(1, 2), dilation=(1, 2)),
    x4,
    normal(8, 6, 3, 3),
    normal(8),
)
case("conv2g", lambda a, w: F.conv2d(a, w, groups=3, padding=1), x4, normal(6, 2, 3, 3))
case("conv2dw", lambda a, w: F.conv2d(a, w, groups=6, stride=2), x4, normal(12, 1, 3, 3))
case(
    "conv3",
    lambda a, w, bb: F.conv3d(a, w, bb, padding=1, stride=(1, 2, 1)),
    x5,
    normal(3, 4, 3, 3, 3),
    normal(3),
)
case("conv2u", lambda a, w: F.conv2d(a, w), normal(6, 7, 9), normal(4, 6, 3, 3))
case(
    "ct1",
    lambda a, w: F.conv_transpose1d(a, w, stride=2, padding=1, output_padding=1),
    x3,
    normal(6, 4, 3),
)
case(
    "ct2",
    lambda a, w, bb: F.conv_transpose2d(a, w, bb, stride=2, padding=1, output_padding=(1, 0)),
    x4,
    normal(6, 4, 3, 4),
    normal(4),
)
case(
    "ct2g",
    lambda a, w, bb: F.conv_transpose2d(a, w, bb, stride=2, groups=3),
    x4,
    normal(6, 2, 2, 2),
    normal(6),
)
case("ct2d", lambda a, w: F.conv_transpose2d(a, w, dilation=2, padding=1), x4, normal(6, 4, 3, 3))
case("ct3", lambda a, w: F.conv_transpose3d(a, w, stride=2), x5, normal(4, 2, 2, 2, 2))
for kind, pool in (("max", F.max_pool2d), ("avg", F.avg_pool2d)):
    case(kind + "2", lambda a, pool=pool: pool(a, 2), x4)
    case(kind + "2s", lambda a, pool=pool: pool(a, 3, stride=2, padding=1), x4)
    case(kind + "2c", lambda a, pool=pool: pool(a, 3, stride=2, padding=1, ceil_mode=True), x4)
    case(
        kind + "2r",
        lambda a, pool=pool: pool(a, (2, 3), stride=(3, 2), padding=(1, 0), ceil_mode=True),
        x4,
    )
    case(kind + "2cc", lambda a, pool=pool: pool(a, 2, stride=3, ceil_mode=True), x4)
    case(kind + "2u", lambda a, pool=pool: pool(a, 2), normal(3, 8, 8))
case("max2d", lambda a: F.max_pool2d(a, 2, 1, dilation=2), x4)
case("max2i", lambda a: tuple(F.max_pool2d(a, 3, 2, 1, return_indices=True)), x4)
case("max1", lambda a: F.max_pool1d(a, 3, 2, 1), x3)
case("max3", lambda a: F.max_pool3d(a, 2, 2, ceil_mode=True), x5)
case("max_u8", lambda a: F.max_pool2d(a.float(), 2), whole(9, 1, 2, 4, 4))
case("avg2n", lambda a: F.avg_pool2d(a, 3, 2, 1, count_include_pad=False), x4)
case("avg2nc", lambda a: F.avg_pool2d(a, 3, 2, 1, ceil_mode=True, count_include_pad=False), x4)
case("avg2d", lambda a: F.avg_pool2d(a, 3, 2, 1, divisor_override=5), x4)
case("avg1", lambda a: F.avg_pool1d(a, 3, 2, 1), x3)
case("avg3", lambda a: F.avg_pool3d(a, 2, 2, 1), x5)
case("lp", lambda a: F.lp_pool2d(a, 2, 2), x4.abs())
case("ad1", lambda a: F.adaptive_avg_pool2d(a, 1), x4)
case("ad2", lambda a: F.adaptive_avg_pool2d(a, (3, 4)), x4)
case("ad3", lambda a: F.adaptive_avg_pool2d(a, (7, 3)), x4)
case("ad1d", lambda a: F.adaptive_avg_pool1d(a, 4), x3)
case("ad3d", lambda a: F.adaptive_avg_pool3d(a, (2, 3, 1)), x5)
case("adm", lambda a: F.adaptive_max_pool2d(a, (3, 4)), x4)
case("adm1", lambda a: F.adaptive_max_pool1d(a, 1), x3)
for md in ["nearest", "bilinear", "bicubic", "nearest-exact", "area"]:
    kw = {} if md in ("nearest", "nearest-exact", "area") else {"align_corners": False}
    case("up_" + md, lambda a, md=md, kw=kw: F.interpolate(a, scale_factor=2, mode=md, **kw), x4)
    case("ups_" + md, lambda a, md=md, kw=kw: F.interpolate(a, size=(5, 13), mode=md, **kw), x4)
    case(
        "upf_" + md,
        lambda a, md=md, kw=kw: F.interpolate(a, scale_factor=(1.7, 0.6), mode=md, **kw),
        x4,
    )
    if kw:
        case(
            "upa_" + md,
            lambda a, md=md: F.interpolate(a, size=(5, 13), mode=md, align_corners=True),
            x4,
        )
        case(
            "upaf_" + md,
            lambda a, md=md: F.interpolate(a, scale_factor=1.7, mode=md, align_corners=True),
            x4,
        )
        case(
            "upaa_" + md,
            lambda a, md=md: F.interpolate(a, size=(4, 5), mode=md, antialias=True),
            x4,
        )
        for size in ((5, 13), (1, 20), (14, 4)):
            case(
                f"upaac_{md}{size}",
                lambda a, md=md, size=size: F.interpolate(
                    a, size=size, mode=md, antialias=True, align_corners=True
                ),
                x4,
            )
        case("up1_" + md, lambda a, md=md: F.interpolate(a, size=(1, 1), mode=md), x4)
case("up1l", lambda a: F.interpolate(a, scale_factor=2, mode="linear"), x3)
case("up1n", lambda a: F.interpolate(a, size=7), x3)
case("up3", lambda a: F.interpolate(a, size=(3, 8, 9), mode="trilinear"), x5)
case("up3n", lambda a: F.interpolate(a, scale_factor=2), x5)
case("ps", lambda a: F.pixel_shuffle(a, 2), normal(2, 8, 3, 5))
case("pu", lambda a: F.pixel_unshuffle(a, 2), normal(2, 3, 4, 6))
case("cs", lambda a: F.channel_shuffle(a, 3), x4)
case("unf", lambda a: F.unfold(a, 3, dilation=1, padding=1, stride=2), x4)
case(
    "unpool",
    lambda a: F.max_unpool2d(*F.max_pool2d(a, 2, return_indices=True), 2),
    normal(2, 3, 6, 8),
)
case(
    "bn",
    lambda a, m, v, wt, bb: F.batch_norm(a, m, v.abs() + 0.1, wt, bb),
    x4,
    normal(6),
    normal(6),
    normal(6),
    normal(6),
)
case("ln", lambda a, wt, bb: F.layer_norm(a, (9,), wt, bb), x4, normal(9), normal(9))
case("ln2", lambda a: F.layer_norm(a, (7, 9)), x4)
case("gn", lambda a, wt, bb: F.group_norm(a, 3, wt, bb), x4, normal(6), normal(6))
case("inn", lambda a: F.instance_norm(a), x4)
case("rms", lambda a, wt: F.rms_norm(a, (9,), wt), x4, normal(9))
case("lrn", lambda a: F.local_response_norm(a, 3), x4)
case("lin", F.linear, normal(2, 3, 5), normal(4, 5))
case("linb", F.linear, normal(3, 5), normal(4, 5), normal(4))
case("lin1", F.linear, normal(5), normal(4, 5), normal(4))
case("mm", torch.mm, normal(3, 4), normal(4, 5))
case("bmm", torch.bmm, normal(2, 3, 4), normal(2, 4, 5))
case("matmul1", torch.matmul, normal(2, 3, 4), normal(4))
case("matmul2", torch.matmul, normal(4), normal(4, 5))
case("matmul3", torch.matmul, normal(4), normal(4))
case("matmul4", torch.matmul, normal(2, 1, 3, 4), normal(5, 4, 2))
case("mv", torch.mv, normal(3, 4), normal(4))
case(
    "addmm",
    lambda a, d, e: torch.addmm(a, d, e, alpha=0.5, beta=2),
    normal(5),
    normal(3, 4),
    normal(4, 5),
)
case("baddbmm", torch.baddbmm, normal(2, 3, 5), normal(2, 3, 4), normal(2, 4, 5))
case("einsum", lambda a, d: torch.einsum("bij,bkj->bik", a, d), normal(2, 3, 4), normal(2, 5, 4))
case(
    "einsum2",
    lambda a, d: torch.einsum("bhid,bhjd->bhij", a, d),
    normal(2, 2, 3, 4),
    normal(2, 2, 5, 4),
)
case("outer", torch.outer, normal(3), normal(4))
case("kron", torch.kron, normal(2, 2), normal(2, 3))
q, k_, v = (normal(2, 4, 5, 8), normal(2, 4, 7, 8), normal(2, 4, 7, 8))
m = normal(5, 7) > -0.5
case("sdpa", F.scaled_dot_product_attention, q, k_, v)
case("sdpa_c", lambda a, d, e: F.scaled_dot_product_attention(a, d, e, is_causal=True), q, k_, v)
case(
    "sdpa_m", lambda a, d, e, mm: F.scaled_dot_product_attention(a, d, e, attn_mask=mm), q, k_, v, m
)
case(
    "sdpa_f",
    lambda a, d, e, mm: F.scaled_dot_product_attention(a, d, e, attn_mask=mm, scale=0.3),
    q,
    k_,
    v,
    normal(2, 1, 5, 7),
)
unseen = torch.zeros(5, 7)
unseen[2], unseen[0, 3] = -torch.inf, -torch.inf
case(
    "sdpa_u",
    lambda a, d, e, mm: F.scaled_dot_product_attention(a, d, e, attn_mask=mm),
    q,
    k_,
    v,
    unseen,
)
case(
    "sdpa_uc",
    lambda a, d, e: F.scaled_dot_product_attention(a, d, e, attn_mask=unseen * 1),
    q,
    k_,
    v,
)
case(
    "sdpa_g",
    lambda a, d, e: F.scaled_dot_product_attention(a, d, e, enable_gqa=True),
    q,
    k_[:, :2],
    v[:, :2],
)


def draw_convolutions(count: int) -> None:
    """Convolutions and transposed ones of drawn attributes."""
    for i in range(count):
        groups, taps = draw.choice((1, 2, 4)), (draw.randint(1, 4), draw.randint(1, 3))
        stride = draw.randint(1, 3), draw.randint(1, 2)
        options = {"groups": groups, "stride": stride, "padding": (draw.randint(0, 2), 0)}
        options["dilation"] = (draw.randint(1, 2), draw.randint(1, 3))
        x = normal(draw.randint(1, 2), 4, draw.randint(9, 12), draw.randint(8, 13))
        case(f"conv drawn {i}", partial(F.conv2d, **options), x, normal(8, 4 // groups, *taps))
        more = [draw.randint(0, s - 1) for s in stride]
        weight = normal(4, 3, *taps)
        turned = partial(F.conv_transpose2d, weight=weight, output_padding=more, **options)
        case(f"conv_transpose drawn {i}", turned, x)


def draw_pools(count: int) -> None:
    """Pools of drawn attributes."""
    for i in range(count):
        taps = draw.randint(1, 4), draw.randint(2, 3)
        options = {
            "kernel_size": taps,
            "stride": (draw.randint(1, 3), draw.randint(1, 4)),
            "padding": tuple(draw.randint(0, k // 2) for k in taps),
            "ceil_mode": draw.random() < 0.6,
        }
        x = normal(1, 3, draw.randint(5, 11), draw.randint(5, 11))
        case(f"max_pool drawn {i}", partial(F.max_pool2d, **options), x)
        inside = draw.random() < 0.5
        case(f"avg_pool drawn {i}", partial(F.avg_pool2d, count_include_pad=inside, **options), x)


draw = random.Random(0)
draw_convolutions(12)
draw_pools(16)

CASES: list[Case] = table.cases
