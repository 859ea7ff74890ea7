"""The pictures that are saved with a stream: which of them, and what is read back from a damaged file."""

from __future__ import annotations

import cv2
import numpy as np

from hermes.video.thumbnails import FramePictures, jpeg
from ui.visitors.saved_pictures import MAX_PICTURES, pack_pictures, read_pictures


def test_pictures_that_are_no_jpeg_are_left_out(tmp_path):
    small, large = (jpeg(np.zeros((9, width, 3), np.uint8), width, 50) for width in (80, 900))
    path = tmp_path / "x.pictures"
    path.write_bytes(pack_pictures(FramePictures({1: small, 2: b"<svg>", 3: large[:-9], 4: small}, large)))
    read = read_pictures(path)
    assert (read.thumbnails[1], read.thumbnails[4]) == (small, small)
    assert 2 not in read.thumbnails
    assert cv2.imdecode(np.frombuffer(read.newest, np.uint8), cv2.IMREAD_COLOR).shape[1] == 448


def test_the_newest_and_some_of_the_old_pictures_of_a_long_stream_are_saved(tmp_path):
    picture = jpeg(np.zeros((9, 80, 3), np.uint8), 80, 50)
    path = tmp_path / "x.pictures"
    path.write_bytes(pack_pictures(FramePictures(dict.fromkeys(range(4000), picture))))
    frames = sorted(read_pictures(path).thumbnails)
    assert len(frames) <= MAX_PICTURES
    assert frames[0] == 0
    assert frames[-200:] == list(range(3800, 4000))
    assert max(np.diff(frames)) <= 8
