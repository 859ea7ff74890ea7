"""Decoding of untrusted video files into frames with presentation times.

PyAV decodes each file in a separate process with limits on time and memory (`limits`), see `decoder_process`.
"""

from hermes.video.errors import VideoError
from hermes.video.sampler import VideoInfo, VideoSampler, probe, sample

__all__ = ["VideoError", "VideoInfo", "VideoSampler", "probe", "sample"]
