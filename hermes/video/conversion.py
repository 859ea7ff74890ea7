"""Conversion of decoded frames to RGB pictures of one size.

* Colours: matrix and range as stated in the file. If the matrix is missing: BT.709 from 720 lines, else BT.601.
* HDR (PQ and HLG): converted to linear light with a reference white of 203 cd/m² (ITU-R BT.2408) and a peak of 1,000 cd/m².
  Values above a knee are compressed according to the brightest channel, which keeps the hue. Then BT.709 primaries and sRGB.
* Wide gamut (BT.2020, Display P3) without HDR: converted to BT.709 primaries, clipped.
* Interlaced frames: the top field, scaled to the height of the frame; this removes combing without neighbouring frames.
* Transparency: on a white background.
* Display matrix: rotations by right angles and flips. Frames of another shape are letterboxed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from av.filter import Graph
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Picture = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

PQ, HLG = 16, 18  # transfer characteristics of ITU-T H.273
BT709, UNSPECIFIED, BT601, BT2020 = 1, 2, 6, 9  # matrices
PRIMARIES_2020, PRIMARIES_P3 = 9, 12
REFERENCE_WHITE, PEAK = 203.0, 1000.0
KNEE: Final = 0.6
HD_LINES: Final = 720
SAME_SHAPE: Final = 0.02
SCALING: Final = Interpolation.AREA | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
FEWEST_PIXELS, LARGEST_RATIO = 16, 32  # of a side that libswscale scales
MATRIX: Final = struct.Struct("=9i")

TO_BT709: Final = {
    PRIMARIES_2020: np.array(
        [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
    ),
    PRIMARIES_P3: np.array([[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]], np.float32),
}


@dataclass(frozen=True)
class Orientation:
    """The effect of a display matrix on a picture: the axes are swapped, then flipped.

    Attributes:
        swaps: Whether rows become columns.
        flips_x: Whether left and right are exchanged afterwards.
        flips_y: Whether top and bottom are exchanged afterwards.
    """

    swaps: bool = False
    flips_x: bool = False
    flips_y: bool = False

    @property
    def mirrored(self) -> bool:
        """Whether the picture is mirrored, not only rotated."""
        return self.swaps ^ self.flips_x ^ self.flips_y

    @property
    def rotation(self) -> int:
        """Rotation in degrees clockwise, applied after mirroring left to right if `mirrored`."""
        if self.swaps:
            return 90 if self.flips_x else 270
        return 180 if self.flips_y else 0

    def apply(self, picture: Picture) -> Picture:
        """Return a view of the picture as displayed."""
        if self.swaps:
            picture = picture.swapaxes(0, 1)
        if self.flips_x:
            picture = picture[:, ::-1]
        return picture[::-1] if self.flips_y else picture


def orientation_of(frame: VideoFrame) -> Orientation:
    """Return the orientation that a frame's display matrix states, to the nearest right angle.

    `VideoFrame.side_data` creates a reference cycle, which keeps the frame until the garbage collector runs. Call this only
    when `frame.rotation` or the size has changed.
    """
    try:
        side_data: Any = frame.side_data  # a mapping whose iterator gives values
    except ValueError:  # PyAV does not know the type of another entry, such as EXIF, and reads none
        return _TURNS[round(-frame.rotation / 90) % 4]
    matrix = next((bytes(data) for data in side_data if data.type.name == "DISPLAYMATRIX"), b"")
    if len(matrix) < MATRIX.size:
        return Orientation()
    a, b, _, c, d, *_ = MATRIX.unpack_from(matrix)
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(flips_x=a < 0, flips_y=d < 0)
    return Orientation(swaps=True, flips_x=c < 0, flips_y=b < 0)


_TURNS: Final = (
    Orientation(),
    Orientation(swaps=True, flips_x=True),
    Orientation(flips_x=True, flips_y=True),
    Orientation(swaps=True, flips_y=True),
)
"""Rotations by 0, 90, 180 and 270 degrees clockwise."""


def displayed_size(frame: VideoFrame, pixel_ratio: float | None, orientation: Orientation) -> tuple[int, int]:
    """Return width and height of a frame as displayed, with square pixels."""
    width, height = frame.width, frame.height
    if pixel_ratio and pixel_ratio != 1 and 0.1 < pixel_ratio < 10:
        width = max(1, round(width * pixel_ratio))
    return (height, width) if orientation.swaps else (width, height)


class FrameConverter:
    """Converts decoded frames to RGB pictures of one size. A frame of another shape is letterboxed in black."""

    def __init__(self, size: tuple[int, int]) -> None:
        """Convert to pictures of `size`, (width, height)."""
        self.size = size
        self._reformatter = VideoReformatter()
        self._graphs: dict[tuple[Any, ...], Graph] = {}
        self._orientation = Orientation()
        self._orientation_key: tuple[int, int, int] | None = None

    def convert(self, frame: VideoFrame, pixel_ratio: float | None, canvas: Picture) -> None:
        """Write a frame as RGB into `canvas`, uint8 [height, width, 3]."""
        orientation = self._orientation_of(frame)
        shape = displayed_size(frame, pixel_ratio, orientation)
        width, height = self._fitting(shape)
        inner = (height, width) if orientation.swaps else (width, height)
        picture = orientation.apply(self._rgb(frame, inner))
        if (width, height) == self.size:
            np.copyto(canvas, picture)
            return
        canvas[:] = 0
        left, top = (self.size[0] - width) // 2, (self.size[1] - height) // 2
        canvas[top : top + height, left : left + width] = picture

    def _orientation_of(self, frame: VideoFrame) -> Orientation:
        """The orientation of a frame; read again when its angle or its size has changed."""
        key = (frame.rotation, frame.width, frame.height)
        if key != self._orientation_key:
            self._orientation, self._orientation_key = orientation_of(frame), key
        return self._orientation

    def _fitting(self, shape: tuple[int, int]) -> tuple[int, int]:
        """The largest size of a shape within the canvas; the whole canvas if the shapes are nearly equal."""
        across, down = self.size[0] / shape[0], self.size[1] / shape[1]
        scale = min(across, down)
        if abs(across / down - 1) < SAME_SHAPE or min(self.size) == 1:
            return self.size
        return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))

    def _rgb(self, frame: VideoFrame, size: tuple[int, int]) -> Picture:
        """Convert a frame to RGB of a size, without applying the orientation."""
        if frame.interlaced_frame and frame.height >= 4:
            frame = self._field(frame)
        matrix = frame.colorspace
        if matrix == UNSPECIFIED:
            matrix = BT709 if max(frame.height, frame.width * 9 // 16) >= HD_LINES else BT601
        convert: dict[str, Any] = {
            "src_colorspace": {BT709: Colorspace.ITU709, 7: Colorspace.SMPTE240M, 4: Colorspace.FCC}.get(
                matrix, Colorspace.BT2020 if matrix in (BT2020, 10) else Colorspace.ITU601
            ),
            "src_color_range": ColorRange.JPEG if _is_full_range(frame) else ColorRange.MPEG,
            "dst_color_range": ColorRange.JPEG,
            "threads": 1,
        }
        if not frame.format.is_rgb and not frame.format.has_palette and frame.color_trc in (PQ, HLG):
            return self._from_hdr(frame, size, convert)
        if any(component.is_alpha for component in frame.format.components) or frame.format.has_palette:
            out = self._reformatter.reformat(frame, format="rgba", **convert)
            picture = _over_white(_resized(_array(out, 4), size))
        else:
            picture = _resized(_array(self._scaled(frame, size, "rgb24", convert), 3), size)
        if frame.color_primaries in TO_BT709:
            linear = _LINEAR[picture]
            return _encoded(cv2.transform(linear, TO_BT709[frame.color_primaries]))
        return picture

    def _scaled(
        self, frame: VideoFrame, size: tuple[int, int], pixel_format: str, convert: dict[str, Any]
    ) -> VideoFrame:
        """Convert a frame and scale it down to `size` in one step, as far as libswscale can do that precisely.

        Its area filter ignores most source pixels if a side of the result has very few pixels. The caller resizes such a
        side, and one that has to grow, with OpenCV.
        """
        width, height = (_scaling_step(full, aim) for full, aim in zip((frame.width, frame.height), size, strict=True))
        if (width, height) != (frame.width, frame.height):
            convert = {**convert, "width": width, "height": height, "interpolation": SCALING}
        return self._reformatter.reformat(frame, format=pixel_format, **convert)

    def _from_hdr(self, frame: VideoFrame, size: tuple[int, int], convert: dict[str, Any]) -> Picture:
        transfer, primaries = frame.color_trc, frame.color_primaries
        code = _resized(_array(self._scaled(frame, size, "rgb48le", convert), 3, np.uint16), size)
        light = _hdr_table(transfer)[code >> 4]
        if transfer == HLG:  # the system gamma of 1.2 for a peak of 1,000 cd/m², ITU-R BT.2100
            luminance = light @ np.array([0.2627, 0.6780, 0.0593], np.float32)
            light = light * (np.maximum(luminance, 1e-6) ** 0.2)[..., None] * np.float32(PEAK / REFERENCE_WHITE)
        brightest = np.maximum(light.max(axis=2, keepdims=True), 1e-6)
        light = light * (_compressed(brightest) / brightest)
        matrix = TO_BT709.get(primaries, TO_BT709[PRIMARIES_2020] if primaries == UNSPECIFIED else None)
        return _encoded(light if matrix is None else cv2.transform(light, matrix))

    def _field(self, frame: VideoFrame) -> VideoFrame:
        """The top field of an interlaced frame, half as high."""
        key = (frame.width, frame.height, frame.format.name)
        graph = self._graphs.get(key)
        if graph is None:
            graph = Graph()
            graph.threads = 1
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
            )
            graph.link_nodes(source, graph.add("field", "type=top"), graph.add("buffersink")).configure()
            self._graphs = {key: graph}
        colours = (frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries)
        graph.push(frame)
        field: Any = graph.pull()
        field.colorspace, field.color_range, field.color_trc, field.color_primaries = colours
        half: VideoFrame = field
        return half


def _is_full_range(frame: VideoFrame) -> bool:
    return frame.format.is_rgb or frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")


def _array(frame: VideoFrame, channels: int, kind: type[np.uint8 | np.uint16] = np.uint8) -> Any:
    """Return a view of a packed frame as an array [height, width, channels]."""
    plane: Any = frame.planes[0]
    rows = np.frombuffer(plane, kind).reshape(frame.height, -1)
    return rows[:, : frame.width * channels].reshape(frame.height, frame.width, channels)


def _scaling_step(full: int, aim: int) -> int:
    """The length in pixels to which libswscale scales a side of `full` pixels that shall have `aim` pixels."""
    return min(full, max(aim, FEWEST_PIXELS, -(-full // LARGEST_RATIO)))


def _resized(picture: Picture, size: tuple[int, int]) -> Picture:
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    smaller = size[0] * size[1] < picture.shape[0] * picture.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cv2.resize(picture, size, interpolation=method)  # type: ignore[return-value]


def _over_white(picture: Picture) -> Picture:
    alpha = picture[..., 3:].astype(np.uint16)
    mixed = (picture[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return mixed.astype(np.uint8)


def _linear_table() -> Floats:
    code = np.arange(256) / 255
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _srgb_table() -> Picture:
    light = np.arange(4096) / 4095
    code = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(code * 255).astype(np.uint8)


_LINEAR: Final = _linear_table()
_SRGB: Final = _srgb_table()


def _encoded(light: Any) -> Picture:
    """Convert linear light, where 1 is white, to sRGB."""
    return _SRGB[np.round(np.clip(light, 0, 1) * 4095).astype(np.uint16)]


@cache
def _hdr_table(transfer: int) -> Floats:
    """Light for each of 4,096 codes: PQ relative to the reference white, HLG scene light from 0 to 1."""
    code = np.arange(4096) / 4095
    if transfer == PQ:
        power = code ** (1 / 78.84375)
        nits = 10_000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
        return (nits / REFERENCE_WHITE).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12).astype(np.float32)


def _compressed(light: Floats) -> Floats:
    """Compress light above the knee so that the peak becomes white. Light below the knee is unchanged."""
    over = np.maximum(light - KNEE, 0) / (1 - KNEE)
    most = (PEAK / REFERENCE_WHITE - KNEE) / (1 - KNEE)
    rolled = KNEE + (1 - KNEE) * np.minimum(over * (1 + over / most**2) / (1 + over), 1)
    return np.where(light > KNEE, rolled, light).astype(np.float32)
