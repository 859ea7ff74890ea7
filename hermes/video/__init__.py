"""Untrusted video files as frames with their times.

Files are decoded by PyAV in a separate process with limits (`limits`), one process for each stream; see `decoder_process`.
"""

from hermes.video.errors import VideoError
from hermes.video.sampler import VideoInfo, VideoSampler, probe, sample

__all__ = ["VideoError", "VideoInfo", "VideoSampler", "probe", "sample"]
