"""Small networks of the kinds that are trained in PyTorch, and RFB-320."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


def conv_norm(
    i: int, o: int, k: int = 3, stride: int = 1, groups: int = 1, act: nn.Module | None = None
) -> nn.Sequential:
    layers = [nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o)]
    return nn.Sequential(*layers, *([] if act is None else [act]))


class Residual(nn.Module):
    """Two convolutions beside an identity, or beside one where the shape changes."""

    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_norm(i, o, 3, stride, act=nn.ReLU()), conv_norm(o, o))
        same = i == o and stride == 1
        self.short = nn.Identity() if same else conv_norm(i, o, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.short(x))


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_norm(3, 8, 7, 2, act=nn.ReLU()), nn.MaxPool2d(3, 2, 1))
        self.body = nn.Sequential(Residual(8, 8, 1), Residual(8, 16, 2))
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(self.stem(x))
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class Squeeze(nn.Module):
    """Channels weighed by their means."""

    def __init__(self, channels: int, gate: nn.Module, act: nn.Module) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)
        self.gate, self.act = gate, act

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.down(x.mean((2, 3), keepdim=True)))
        return x * self.gate(self.up(y))


class Inverted(nn.Module):
    """MobileNet's block: wider, depthwise, weighed, narrower."""

    def __init__(self, i: int, o: int, stride: int, act: nn.Module, gate: nn.Module | None) -> None:
        super().__init__()
        wide = 3 * i
        self.body = nn.Sequential(
            conv_norm(i, wide, 1, act=act),
            conv_norm(wide, wide, 3, stride, wide, act),
            *([] if gate is None else [Squeeze(wide, gate, act)]),
            conv_norm(wide, o, 1),
        )
        self.adds = stride == 1 and i == o

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.adds else self.body(x)


def mobilenet(act: Callable[[], nn.Module], gate: Callable[[], nn.Module] | None) -> nn.Module:
    def block(i: int, o: int, stride: int) -> Inverted:
        return Inverted(i, o, stride, act(), None if gate is None else gate())

    return nn.Sequential(
        conv_norm(3, 8, 3, 2, act=act()),
        block(8, 8, 1),
        block(8, 16, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(16, 10),
        nn.LogSoftmax(1),
    )


class Shuffle(nn.Module):
    """ShuffleNetV2's unit: half of the channels pass, and all are mixed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.body = nn.Sequential(
            conv_norm(half, half, 1, act=nn.ReLU()),
            conv_norm(half, half, 3, 1, half),
            conv_norm(half, half, 1, act=nn.ReLU()),
        )

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, 1)
        y = torch.cat([a, self.body(b)], 1)
        n, c, h, w = y.shape
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([conv_norm(i, o, act=nn.ReLU()) for i, o in ((3, 8), (8, 16))])
        self.middle = conv_norm(16, 16, act=nn.LeakyReLU(0.1))
        self.up = nn.ConvTranspose2d(16, 16, 2, 2)
        self.out = nn.ModuleList([conv_norm(32, 8, act=nn.ReLU()), nn.Conv2d(16, 2, 1)])

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for layer in self.down:
            x = layer(x)
            kept.append(x)
            x = F.max_pool2d(x, 2)
        x = self.up(self.middle(x))
        x = self.out[0](torch.cat([x, kept[1]], 1))
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        return torch.sigmoid(self.out[1](torch.cat([x, kept[0]], 1)))


class Ssd(nn.Module):
    """Scores and boxes of two scales."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleList(
            [conv_norm(3, 8, 3, 2, act=nn.ReLU6()), conv_norm(8, 16, 3, 2, act=nn.ReLU6())]
        )
        self.scores = nn.ModuleList([nn.Conv2d(8, 6, 3, 1, 1), nn.Conv2d(16, 6, 3, 1, 1)])
        self.boxes = nn.ModuleList([nn.Conv2d(8, 8, 3, 1, 1), nn.Conv2d(16, 8, 3, 1, 1)])

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        scores, boxes = [], []
        for body, score, box in zip(self.body, self.scores, self.boxes, strict=True):
            x = body(x)
            scores.append(score(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 3))
            boxes.append(box(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 4))
        place = torch.cat(boxes, 1)
        corners = torch.cat([place[..., :2] - place[..., 2:] / 2, place[..., 2:].exp()], -1)
        best, index = torch.cat(scores, 1).softmax(-1)[..., 1].topk(5)
        return {"scores": best, "index": index, "boxes": corners}


class DeepLab(nn.Module):
    """Dilated convolutions beside each other, and the mean of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_norm(3, 8, 3, 2, act=nn.ReLU())
        self.branches = nn.ModuleList(
            [nn.Conv2d(8, 8, 3, padding=d, dilation=d) for d in (1, 2, 4)]
        )
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.ReLU())
        self.out = nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        x = self.stem(x)
        parts = [F.relu(branch(x)) for branch in self.branches]
        whole = F.interpolate(self.pooled(x), x.shape[-2:], mode="bilinear", align_corners=False)
        y = F.interpolate(self.out(torch.cat([*parts, whole], 1)), size, mode="bilinear")
        return y.argmax(1)


class Block(nn.Module):
    """A transformer's: attention and two dense layers."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        act = nn.GELU("tanh" if causal else "none")
        self.dense = nn.Sequential(nn.Linear(width, 2 * width), act, nn.Linear(2 * width, width))
        self.heads, self.causal = heads, causal

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        parts = self.qkv(self.norms[0](x)).view(n, t, 3, self.heads, c // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.out(y.transpose(1, 2).reshape(n, t, c))
        return x + self.dense(self.norms[1](x))


class Vit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.place = nn.Parameter(torch.randn(1, 17, 16))
        self.blocks = nn.Sequential(Block(16, 2, False), Block(16, 2, False))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        return self.head(self.norm(self.blocks(x))[:, 0])


class Gpt(nn.Module):
    """A language network whose embedding is its last layer too."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(50, 16), nn.Embedding(12, 16)
        self.block, self.norm = Block(16, 4, True), nn.LayerNorm(16)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.words(tokens) + self.places(torch.arange(tokens.shape[1]))
        return self.norm(self.block(x)) @ self.words.weight.T


class Audio(nn.Module):
    """Convolutions over time, recurrent layers, a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(4, 8, 5, 2, 2), nn.PReLU(8), nn.Conv1d(8, 8, 3, padding=2, dilation=2)
        )
        self.lstm = nn.LSTM(8, 6, 2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(12, 5, batch_first=True)
        self.mask = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, _ = self.lstm(F.elu(self.conv(x)).transpose(1, 2))
        z, last = self.gru(y)
        return torch.sigmoid(self.mask(z)), last


class Recurrent(nn.Module):
    """Recurrent layers of other kinds: projected, without biases or a batch, of cells."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 5, 2, bias=False, bidirectional=True)
        self.rnn = nn.RNN(10, 6, nonlinearity="relu")
        self.lstm = nn.LSTM(6, 5, proj_size=3, bias=False)
        self.cell = nn.LSTMCell(3, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y, _ = self.rnn(self.gru(x)[0])
        z, (h, c) = self.lstm(y)
        return (z, h, c, *self.cell(z[-1]))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "audio": (Audio, lambda: torch.randn(2, 4, 20)),
    "deeplab": (DeepLab, lambda: torch.randn(1, 3, 33, 33)),
    "efficientnet": (lambda: mobilenet(nn.SiLU, nn.Sigmoid), lambda: torch.randn(1, 3, 32, 32)),
    "gpt": (Gpt, lambda: torch.randint(0, 50, (2, 12))),
    "mobilenet v2": (lambda: mobilenet(nn.ReLU6, None), lambda: torch.randn(1, 3, 32, 32)),
    "mobilenet v3": (
        lambda: mobilenet(nn.Hardswish, nn.Hardsigmoid),
        lambda: torch.randn(1, 3, 32, 32),
    ),
    "recurrent": (Recurrent, lambda: torch.randn(6, 4)),
    "resnet": (ResNet, lambda: torch.randn(2, 3, 32, 32)),
    "shufflenet": (
        lambda: nn.Sequential(conv_norm(3, 8), Shuffle(8), Shuffle(8)),
        lambda: torch.randn(1, 3, 16, 16),
    ),
    "ssd": (Ssd, lambda: torch.randn(1, 3, 32, 32)),
    "transformer": (
        lambda: nn.TransformerEncoderLayer(16, 4, 32, batch_first=True),
        lambda: torch.randn(2, 5, 16),
    ),
    "unet": (UNet, lambda: torch.randn(1, 3, 32, 32)),
    "vit": (Vit, lambda: torch.randn(1, 3, 32, 32)),
}
"""Networks and inputs for them."""


class Named(nn.Module):
    """A convolution and a normalisation, called so."""

    def __init__(self, i: int, o: int, k: int, dilation: int = 1, act: bool = True) -> None:
        super().__init__()
        pad = dilation * (k // 2)
        self.conv = nn.Conv2d(i, o, k, padding=pad, dilation=dilation, bias=False)
        self.bn = nn.BatchNorm2d(o)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn(self.conv(x))
        return F.relu(y) if self.act else y


class ReceptiveField(nn.Module):
    """Three branches of growing dilation beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch0, self.branch1 = (
            nn.Sequential(
                Named(channels, 8, 1, act=False), Named(8, 16, 3), Named(16, 16, 3, d, False)
            )
            for d in (2, 3)
        )
        self.branch2 = nn.Sequential(
            Named(channels, 8, 1, act=False),
            Named(8, 12, 3),
            Named(12, 16, 3),
            Named(16, 16, 3, 5, False),
        )
        self.ConvLinear = Named(48, channels, 1, act=False)
        self.shortcut = Named(channels, channels, 1, act=False)

    def forward(self, x: Tensor) -> Tensor:
        parts = torch.cat([self.branch0(x), self.branch1(x), self.branch2(x)], 1)
        return F.relu(self.ConvLinear(parts) + self.shortcut(x))


def separable(i: int, o: int, stride: int = 1) -> nn.Sequential:
    """A depthwise convolution and one of 1x1, each normalised."""
    return nn.Sequential(
        nn.Conv2d(i, i, 3, stride, 1, groups=i, bias=False),
        nn.BatchNorm2d(i),
        nn.ReLU(),
        nn.Conv2d(i, o, 1, bias=False),
        nn.BatchNorm2d(o),
        nn.ReLU(),
    )


def head(i: int, o: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(i, i, 3, stride, 1, groups=i), nn.ReLU(), nn.Conv2d(i, o, 1))


class Rfb320(nn.Module):
    """The face detector: scores [1, 4420, 2] and boxes [1, 4420, 4] of x[1, 3, 240, 320]."""

    def __init__(self) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.base_net = nn.ModuleList(
            [
                stem,
                separable(16, 32),
                separable(32, 32, 2),
                separable(32, 32),
                separable(32, 64, 2),
                separable(64, 64),
                separable(64, 64),
                ReceptiveField(64),
                separable(64, 128, 2),
                separable(128, 128),
                separable(128, 128),
                separable(128, 256, 2),
                separable(256, 256),
            ]
        )
        extra = nn.Sequential(nn.Conv2d(256, 64, 1), nn.ReLU(), head(64, 256, 2), nn.ReLU())
        self.extras = nn.ModuleList([extra])
        channels, anchors = (64, 128, 256), (3, 2, 2)
        self.classification_headers, self.regression_headers = (
            nn.ModuleList(
                [
                    *(head(c, n * size) for c, n in zip(channels, anchors, strict=True)),
                    nn.Conv2d(256, 3 * size, 3, padding=1),
                ]
            )
            for size in (2, 4)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = []
        for i, layer in enumerate(self.base_net):
            x = layer(x)
            if i in (7, 10, 12):
                found.append(x)
        found.append(self.extras[0](x))
        scores, boxes = (
            torch.cat(
                [
                    layer(v).permute(0, 2, 3, 1).reshape(v.shape[0], -1, size)
                    for layer, v in zip(layers, found, strict=True)
                ],
                1,
            )
            for layers, size in ((self.classification_headers, 2), (self.regression_headers, 4))
        )
        return scores.softmax(2), boxes
