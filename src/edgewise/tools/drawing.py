"""The picture of a result: the photograph with bars of the best classes, or a colour overlay."""

from __future__ import annotations

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..graph import Array
from .results import Classes, ClassMap, Result, Scored

WIDTH, HEIGHT = 640, 480
MARGIN = 16
ROW = 34
INK = (240, 240, 240)
PAPER = (24, 26, 31)
BAR = (64, 132, 214)
TRACK = (48, 52, 60)
OVERLAY = 0.55


def annotate(photograph: Image.Image, result: Result, caption: str) -> Image.Image:
    """The photograph, within 640 x 480, above a panel that shows ``result`` and ``caption``.

    A list of classes becomes bars; a map of classes is laid over the photograph in colours (class
    0, the background, stays clear), and the panel is its legend.
    """
    scale = min(WIDTH / photograph.width, HEIGHT / photograph.height)
    width, height = (max(1, round(n * scale)) for n in photograph.size)
    photograph = photograph.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    rows: tuple[Scored, ...] = ()
    if isinstance(result, ClassMap):
        photograph = overlay(photograph, result.classes)
        rows = result.areas
    elif isinstance(result, Classes):
        rows = result.top
    picture = Image.new("RGB", (WIDTH, height + MARGIN * 2 + ROW * (len(rows) + 1)), PAPER)
    picture.paste(photograph, ((WIDTH - width) // 2, 0))
    draw = ImageDraw.Draw(picture)
    top = height + MARGIN
    shares = result.probabilities if isinstance(result, Classes) else True
    full = 1.0 if shares else max((abs(row.score) for row in rows), default=1.0) or 1.0
    for row in rows:
        color = class_color(row.index) if isinstance(result, ClassMap) else BAR
        figure = f"{row.score:.1%}" if shares else f"{row.score:.3g}"
        _draw_bar(draw, top, row, row.score / full, figure, color)
        top += ROW
    draw.text((MARGIN, top + ROW // 2), _latin(caption), fill=INK, font=_font(14), anchor="lm")
    return picture


def overlay(photograph: Image.Image, classes: Array) -> Image.Image:
    """An RGB photograph with a map of classes [H,W] laid over it in colours."""
    present, where = np.unique(classes, return_inverse=True)
    colors = np.array([class_color(int(c)) for c in present], np.uint8)
    tint = Image.fromarray(colors[where.reshape(classes.shape)]).resize(
        photograph.size, Image.Resampling.NEAREST
    )
    covered = Image.fromarray(np.where(classes != 0, round(255 * OVERLAY), 0).astype(np.uint8))
    mask = covered.resize(photograph.size, Image.Resampling.NEAREST)
    return Image.composite(tint, photograph, mask)


def class_color(index: int) -> tuple[int, int, int]:
    """A lively colour for a class, far from those of its neighbours; grey for the background."""
    if index == 0:
        return (90, 94, 102)
    red, green, blue = colorsys.hsv_to_rgb(index * 0.618034 % 1.0, 0.75, 0.95)
    return (round(red * 255), round(green * 255), round(blue * 255))


def _draw_bar(
    draw: ImageDraw.ImageDraw,
    top: int,
    row: Scored,
    share: float,
    figure: str,
    color: tuple[int, int, int],
) -> None:
    left, right, bottom = MARGIN, WIDTH - MARGIN - 72, top + ROW - 6
    filled = left + round((right - left) * min(max(share, 0.0), 1.0))
    draw.rounded_rectangle((left, top, right, bottom), 4, fill=TRACK)
    if filled > left:
        draw.rounded_rectangle((left, top, filled, bottom), 4, fill=color)
    middle = (top + bottom) // 2
    name = _latin(row.label or f"class {row.index}")
    draw.text(
        (left + 8, middle),
        name,
        fill=INK,
        font=_font(15),
        anchor="lm",
        stroke_width=0 if color == BAR else 2,
        stroke_fill=TRACK,
    )
    draw.text((WIDTH - MARGIN, middle), figure, fill=INK, font=_font(15), anchor="rm")


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _latin(text: str) -> str:
    """The built-in font has Latin letters only."""
    return text.encode("latin-1", "replace").decode("latin-1")
