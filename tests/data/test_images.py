"""Pictures as network inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewise.data.images import (
    CONVENTIONS,
    Normalization,
    choose_normalization,
    fit_picture,
    load_input,
    open_picture,
    pixels_to_input,
    takes_pictures,
    with_channels,
)
from edgewise.dtype import DType, QParams
from edgewise.errors import InputError
from edgewise.graph import TensorType

EVERY_BYTE = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)


def picture_type(
    dtype: DType, scale: float | None = None, zero_point: int = 0, shape: tuple[int, ...] = ()
) -> TensorType:
    quant = None if scale is None else QParams.per_tensor(scale, zero_point)
    return TensorType(shape or (1, 16, 16, 3), dtype, quant)


@pytest.mark.parametrize(
    ("scale", "zero_point"),
    [(1 / 128, 128), (1 / 127.5, 127), (1 / 127.5, 128), (1 / 255, 0), (1.0, 0)],
)
def test_uint8_pictures_are_raw_bytes(scale: float, zero_point: int) -> None:
    type = picture_type(DType.UINT8, np.float32(scale).item(), zero_point)
    array = pixels_to_input(EVERY_BYTE, type, choose_normalization(type, {}))
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array[0], EVERY_BYTE)


@pytest.mark.parametrize(("scale", "zero_point"), [(1.0, -128), (1 / 255, -128), (2 / 255, -1)])
def test_int8_pictures_are_bytes_minus_128(scale: float, zero_point: int) -> None:
    type = picture_type(DType.INT8, np.float32(scale).item(), zero_point)
    array = pixels_to_input(EVERY_BYTE, type, choose_normalization(type, {}))
    assert array.dtype == np.int8
    np.testing.assert_array_equal(array[0], EVERY_BYTE.astype(np.int16) - 128)


@pytest.mark.parametrize(
    ("scale", "zero_point", "expected"),
    [
        (1 / 128, 128, CONVENTIONS[0]),
        (1 / 255, 0, CONVENTIONS[1]),
        (1.0, 0, CONVENTIONS[2]),
    ],
)
def test_the_convention_follows_from_the_quantization(
    scale: float, zero_point: int, expected: Normalization
) -> None:
    assert choose_normalization(picture_type(DType.UINT8, scale, zero_point), {}) == expected


def test_other_scales_quantize_the_normalised_pixel() -> None:
    type = picture_type(DType.INT8, 0.02, 3)
    array = pixels_to_input(EVERY_BYTE, type, Normalization((127.5,), (127.5,)))
    real = (EVERY_BYTE.astype(np.float64) - 127.5) / 127.5
    np.testing.assert_array_equal(array[0], np.clip(np.rint(real / 0.02 + 3), -128, 127))
    assert array.min() == -47
    assert array.max() == 53


def test_quantized_pixels_saturate() -> None:
    type = picture_type(DType.UINT8, 0.004, 128)
    array = pixels_to_input(EVERY_BYTE, type, CONVENTIONS[0])
    assert array.min() == 0
    assert array.max() == 255
    assert (array == 255).sum() > 3


def test_floats_get_metadata_or_minus_one_to_one() -> None:
    type = picture_type(DType.FLOAT32)
    default = pixels_to_input(EVERY_BYTE, type, choose_normalization(type, {}))
    assert default.dtype == np.float32
    assert (default.min(), default.max()) == (-1.0, 1.0)
    stated = {"input_normalization": {"mean": [1.0, 2.0, 3.0], "std": [2.0, 4.0, 8.0]}}
    array = pixels_to_input(EVERY_BYTE, type, choose_normalization(type, stated))
    np.testing.assert_allclose(array[0, 0, 5], [2.0, 0.75, 0.25])


def test_bytes_without_quantization_are_raw() -> None:
    type = picture_type(DType.UINT8)
    np.testing.assert_array_equal(pixels_to_input(EVERY_BYTE, type)[0], EVERY_BYTE)


@pytest.mark.parametrize(
    ("mean", "std"), [((), ()), ((0.0,), (0.0,)), ((0.0, 1.0), (1.0,)), ((float("nan"),), (1.0,))]
)
def test_impossible_normalisation(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="normalisation"):
        Normalization(mean, std)


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(InputError, match="range 1,1"):
        Normalization.to_range(1.0, 1.0)


def test_channels_may_have_ranges_of_their_own() -> None:
    type = picture_type(DType.FLOAT32)
    array = pixels_to_input(EVERY_BYTE, type, Normalization.to_range(0, 1, -1, 1, 0, 255))
    assert array[0, 0, 0].tolist() == [0.0, -1.0, 0.0]
    np.testing.assert_allclose(array[0, -1, -1], [1.0, 1.0, 255.0], rtol=1e-6)
    with pytest.raises(InputError, match="range 0,1,2;"):
        Normalization.to_range(0.0, 1.0, 2.0)


def test_means_must_match_the_channels() -> None:
    with pytest.raises(InputError, match="2 means for a picture of 3 channels"):
        pixels_to_input(
            EVERY_BYTE, picture_type(DType.FLOAT32), Normalization((0.0, 1.0), (1.0, 1.0))
        )


def test_crop_keeps_the_centre() -> None:
    pixels = np.zeros((256, 512, 3), np.uint8)
    pixels[16:240, 144:368] = 255
    cropped = fit_picture(Image.fromarray(pixels), 224, 224, "crop")
    assert cropped.size == (224, 224)
    assert np.asarray(cropped).min() == 255


@pytest.mark.parametrize("fit", ["crop", "stretch"])
@pytest.mark.parametrize("size", [(1, 1), (3, 400), (400, 3), (37, 41)])
@pytest.mark.parametrize("target", [(2, 2), (96, 96), (48, 20)])
def test_any_picture_fits(fit: str, size: tuple[int, int], target: tuple[int, int]) -> None:
    height, width = target
    fitted = fit_picture(Image.new("RGB", size, "red"), height, width, fit)  # type: ignore[arg-type]
    assert fitted.size == (width, height)
    assert np.asarray(fitted).reshape(-1, 3).tolist() == [[255, 0, 0]] * (width * height)


def test_stretch_sees_everything() -> None:
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[:, :2] = 255
    stretched = np.asarray(fit_picture(Image.fromarray(pixels), 10, 10, "stretch"))
    assert stretched[:, 0].min() > 200


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = 255
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    upright = np.asarray(open_picture(tmp_path / "turned.png"))
    assert upright.shape == (16, 8, 3)
    assert upright[:8].min() == 255
    assert upright[8:].max() == 0


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "CMYK", "RGBA", "I;16"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_mode_becomes_every_number_of_channels(
    tmp_path: Path, mode: str, channels: int
) -> None:
    path = tmp_path / ("picture.tiff" if mode == "CMYK" else "picture.png")
    value = 65535 if mode == "I;16" else "white"
    Image.new(mode, (8, 8), value if mode != "CMYK" else (0, 0, 0, 0)).save(path)
    type = picture_type(DType.UINT8, 1.0, 0, (1, 8, 8, channels))
    array = load_input(path, type, CONVENTIONS[2])
    assert array.shape == (1, 8, 8, channels)
    assert array.min() == 255


def test_transparency_falls_on_white() -> None:
    clear = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    assert np.asarray(with_channels(clear, 3)).min() == 255


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 8, 8, 3), True),
        ((1, 8, 8, 1), True),
        ((2, 8, 8, 3), False),
        ((1, 8, 8, 2), False),
        ((1, 1960), False),
        ((1, 1, 9, 1), False),
    ],
)
def test_takes_pictures(shape: tuple[int, ...], expected: bool) -> None:
    assert takes_pictures(TensorType(shape, DType.UINT8)) is expected


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_may_come_first(channels: int, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(noise).save(path)
    last = load_input(path, TensorType((1, 8, 12, channels), DType.FLOAT32))
    first = load_input(path, TensorType((1, channels, 8, 12), DType.FLOAT32))
    np.testing.assert_array_equal(first, last.transpose(0, 3, 1, 2))
    assert first.flags.c_contiguous


def test_inputs_that_hold_no_picture(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    with pytest.raises(InputError, match="not a picture"):
        load_input(tmp_path / "x.png", TensorType((1, 1960), DType.INT8))
    with pytest.raises(InputError, match="cannot become int32"):
        load_input(tmp_path / "x.png", TensorType((1, 4, 4, 3), DType.INT32))


def test_unreadable_pictures(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        open_picture(tmp_path / "absent.png")
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(InputError, match="not a picture"):
        open_picture(tmp_path / "text.png")
    Image.effect_noise((64, 64), 50).convert("RGB").save(tmp_path / "short.jpg")
    whole = (tmp_path / "short.jpg").read_bytes()
    (tmp_path / "short.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read"):
        open_picture(tmp_path / "short.jpg")
