"""What moves, selects, scatters, sorts and makes elements."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch_cases import Case, Table

table = Table()
case, normal, whole = table.case, table.normal, table.whole

x4 = normal(2, 6, 7, 9)
x3 = normal(2, 6, 11)
case("view", lambda a: a.view(2, -1), x4)
case("reshape", lambda a: a.transpose(1, 2).reshape(3, -1), x4)
case("flatten", lambda a: a.flatten(1, 2), x4)
case("unflatten", lambda a: a.unflatten(1, (2, 3)), x4)
case("permute", lambda a: a.permute(0, -1, 2, 1), x4)
case("movedim", lambda a: a.movedim(1, -1), x4)
case("T", lambda a: a.t(), normal(2, 3))
case("mT", lambda a: a.mT, x4)
case("swap", lambda a: a.swapaxes(0, 2), x4)
case("squeeze", lambda a: a.squeeze(), normal(1, 2, 1, 3))
case("squeeze1", lambda a: a.squeeze(1), normal(2, 1, 3))
case("squeezed", lambda a: a.squeeze((0, 2)), normal(1, 2, 1, 3))
case("unsq", lambda a: a.unsqueeze(-2), x3)
case("expand", lambda a: a.expand(4, -1, 5), normal(3, 1))
case("expas", lambda a, b: a.expand_as(b), normal(3, 1), normal(2, 3, 4))
case("repeat", lambda a: a.repeat(2, 1, 3), normal(2, 3))
case("tile", lambda a: a.tile(2, 2), normal(2, 3))
case("rint", lambda a: a.repeat_interleave(2, dim=1), x3)
case("broadcast_to", lambda a: torch.broadcast_to(a, (2, 3, 4)), normal(3, 1))
case("cat", lambda a, b: torch.cat([a, b, a], -1), normal(2, 3), normal(2, 1))
case("catmix", lambda a, b: torch.cat([a, b], 0), normal(2, 3), whole(5, 1, 3))
case("stack", lambda a, b: torch.stack([a, b], -1), normal(2, 3), normal(2, 3))
case("split", lambda a: a.split(4, 1), x4)
case("split2", lambda a: a.split([1, 5], 1), x4)
case("chunk", lambda a: a.chunk(4, 3), x4)
case("unbind", lambda a: a.unbind(1), normal(2, 3))
case("tsplit", lambda a: torch.tensor_split(a, 4, 3), x4)
case("hsplit", lambda a: torch.hsplit(a, 3), x4)
case("slice", lambda a: a[:, 1:5:2, -3:], x4)
case("select", lambda a: a[:, -1], x4)
case("ell", lambda a: a[..., 0, None], x4)
case("narrow", lambda a: a.narrow(1, 2, 3), x4)
case("flip", lambda a: a.flip(1, -1), x4)
case("roll", lambda a: a.roll((1, -2), (2, 3)), x4)
case("rollf", lambda a: a.roll(3), normal(2, 5))
case("rot90", lambda a: a.rot90(1, (2, 3)), x4)
case("pad", lambda a: F.pad(a, (1, 2)), x4)
case("padv", lambda a: F.pad(a, (1, 2, 0, 3), value=2.5), x4)
case("padneg", lambda a: F.pad(a, (-1, 2, 3, -2)), x4)
case("padr", lambda a: F.pad(a, (1, 2, 3, 0), mode="reflect"), x4)
case("padr1", lambda a: F.pad(a, (1, 2), mode="reflect"), x3)
case("padrep", lambda a: F.pad(a, (1, 2, 3, 0), mode="replicate"), x4)
case("padcirc", lambda a: F.pad(a, (1, 2, 3, 0), mode="circular"), x4)
case("padi", lambda a: F.pad(a, (1, 1), value=3), whole(5, 2, 3))
case("padb", lambda a: F.pad(a, (1, 1), value=True), normal(2, 3) > 0)
case("tunfold", lambda a: a.unfold(2, 3, 2), x3)
case("diag", lambda a: torch.diagonal(a, 1, 1, 2), normal(2, 3, 4))
case("tril", lambda a: a.tril(1), normal(4, 5))
case("triu", lambda a: torch.triu(a), normal(2, 4, 5))
case("meshgrid", lambda a, b: torch.meshgrid(a, b, indexing="ij"), normal(3), normal(4))
case("diag_embed", torch.diag_embed, normal(2, 3))


def sset(a, s):
    a = a.clone()
    a[:, 1:3] = s
    return a


def sset2(a, s):
    a = a.clone()
    a[:, ::2] = s
    return a


def iset(a, s):
    a = a.clone()
    a[:, 2] = s
    return a


def idset(a, j, s):
    a = a.clone()
    a[:, j] = s
    return a


def iadd(a, j, s):
    return a.index_add(1, j, s)


def mset(a):
    a = a.clone()
    a[a > 0] = 0.5
    return a


case("sset", sset, normal(2, 5, 3), normal(2, 2, 3))
case("sset2", sset2, normal(2, 5, 3), normal(3))
case("iset", iset, normal(2, 5, 3), normal(3))
case("idset", idset, normal(2, 5, 3), torch.tensor([3, 0]), normal(2, 2, 3))
case("mset", mset, normal(3, 4))
case("index_add", iadd, normal(2, 5, 3), torch.tensor([3, 0, 3]), normal(2, 3, 3))
case(
    "index_copy",
    lambda a, j, s: a.index_copy(1, j, s),
    normal(2, 5, 3),
    torch.tensor([3, 0]),
    normal(2, 2, 3),
)
case("index_fill", lambda a, j: a.index_fill(1, j, 2.0), normal(2, 5, 3), torch.tensor([3, 0]))
case("embedding", lambda w, j: F.embedding(j, w), normal(7, 4), whole(7, 2, 3))
case("isel", lambda a, j: a.index_select(1, j), x4, whole(6, 4))
case("index1", lambda a, j: a[j], x4, whole(2, 3, 2) - 1)
case("index2", lambda a, j: a[:, j], x4, whole(6, 3))
case("index3", lambda a, j, k: a[:, j, k], x4, whole(6, 3), whole(7, 3))
case("index4", lambda a, j, k: a[j, :, k], x4, whole(2, 3, 1), whole(7, 2))
case("index5", lambda a, j: a[j, :, torch.tensor([1, -1])], x4, whole(2, 2))
case("indexc", lambda a: a[:, [0, -1, 2]], x4)
case("indexm", lambda a: a[:, torch.tensor([True, False, True, False, False, True])], x4)
case("gather", lambda a, j: a.gather(1, j), x3, whole(6, 2, 4, 11))
case("gather0", lambda a, j: a.gather(2, j), x3, whole(11, 1, 3, 4))
case("take_along", lambda a, j: torch.take_along_dim(a, j, 2), x3, whole(11, 2, 6, 1))
case("take", torch.take, normal(3, 4), whole(12, 2, 2))
case(
    "scatter",
    lambda a, j, s: a.scatter(1, j, s),
    normal(3, 5),
    torch.tensor([[0, 2], [1, 4], [3, 0]]),
    normal(3, 2),
)
case("scatterv", lambda a, j: a.scatter(1, j, 1.5), normal(3, 5), whole(5, 3, 2))
case(
    "scatter_add",
    lambda a, j, s: a.scatter_add(0, j, s),
    normal(3, 5),
    whole(3, 4, 5),
    normal(4, 5),
)
case(
    "scatter_red",
    lambda a, j, s: a.scatter_reduce(0, j, s, "amax"),
    normal(3, 5),
    whole(3, 4, 5),
    normal(4, 5),
)
case("where", torch.where, x3 > 0, x3, normal(11))
case("wheres", lambda a: torch.where(a > 0, a, 0.0), x3)
case("whereint", lambda a, j: torch.where(a > 0, a, j), x3, whole(5, 11))
case("mfill", lambda a: a.masked_fill(a > 0, -1000000000.0), x3)
case("mfillinf", lambda a: a.masked_fill(a > 0, float("-inf")), x3)
case("sort", lambda a: tuple(a.sort(1)), x3)
case("sortd", lambda a: tuple(a.sort(-1, descending=True)), whole(5, 3, 6))
case("argsort", lambda a: a.argsort(1), x3)
case("topk", lambda a: tuple(a.topk(3, 1)), x4)
case("topks", lambda a: tuple(a.topk(2, largest=False)), x4)
case("onehot", lambda a: F.one_hot(a, 7), whole(7, 2, 3))
case("arange", lambda a: a + torch.arange(11), x3)
case("aranges", lambda a: a[..., :4] * torch.arange(1, 3, 0.5), x3)
case(
    "zeros",
    lambda a: torch.zeros(2, 3) + torch.ones_like(a[:, :3, 0]) + torch.full((2, 3), 4.0),
    x3,
)
case("newz", lambda a: a.new_zeros(3) + a.new_full((3,), 2.0) + a.new_ones(3), x3)
case("linspace", lambda a: a + torch.linspace(0, 1, 11), x3)
case("eye", lambda a: a @ torch.eye(11), x3)
case("tensorc", lambda a: a * torch.tensor([1.0, 2, 3])[:, None, None].sum(), x3)
case("to", lambda a: a.to(torch.int32), x3 * 3)
case("tof", lambda a: a.float() / 2, whole(9, 3))
case("tob", lambda a: a.bool(), whole(2, 3))
case("long", lambda a: (a * 3).long(), x3)
case("typeas", lambda a, b: a.type_as(b), whole(9, 3), x3)
case("clone", lambda a: a.clone().contiguous() + 0, x3)
case("double", lambda a: a.double(), x3)
case("dropout", lambda a: F.dropout(a, 0.5, False) + 0, x3)
case("bucket", lambda a: torch.bucketize(a, torch.tensor([-0.5, 0.0, 0.5])), x3)
case("pdist2", lambda a, b: (a[:, None] - b[None]).pow(2).sum(-1), normal(3, 4), normal(5, 4))
case("polar", lambda a: torch.atan2(a, a + 3), x3)
case("grid", lambda a, g_: F.grid_sample(a, g_, align_corners=False), x4, normal(2, 4, 5, 2) * 0.8)
case("affine", lambda t: F.affine_grid(t, (2, 3, 4, 5), align_corners=False), normal(2, 2, 3))
case("fold", lambda a: F.fold(a, (4, 5), 2), normal(1, 12, 12))

CASES: list[Case] = table.cases
