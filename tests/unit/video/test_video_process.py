"""The decoder process: it may crash, hang or exceed its limits, and only its own stream ends, with a clear message."""

from __future__ import annotations

import gc
import multiprocessing
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace

import av
import numpy as np
import psutil
import pytest
from videos import DATA, write_video

from hermes.video import VideoError, VideoSampler, sample
from hermes.video.decoder_process import ForkServer, fork_server
from hermes.video.limits import LIMITS

CLIP = DATA / "long_groups.mp4"


def decoders():
    """The decoder processes that run now."""
    server = fork_server()._process
    return psutil.Process(server.pid).children() if server else []


def decoder_of(sampler):
    """The decoder process of the only sampler that is open."""
    next(sampler)
    (process,) = decoders()
    return process


def waiting_messages(sampler):
    """What a decoder has sent and its sampler has not parsed: the first read may have received all of it."""
    received, connection = sampler._process._lines, sampler._process._socket
    readable, _, _ = select.select([connection], [], [], 0)
    return received + (connection.recv(65_536, socket.MSG_PEEK) if readable else b"")


def left_over():
    """The decoder processes that remain although no sampler is used any more."""
    if decoders():
        gc.collect()
    return psutil.wait_procs(decoders(), timeout=60)[1]


@pytest.fixture(autouse=True)
def no_decoders_before_and_after():
    fork_server().start()
    assert left_over() == []
    yield
    assert left_over() == []


def drain(sampler):
    for _ in sampler:
        pass


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (signal.SIGSEGV, "crashed the video decoder .SIGSEGV."),
        (signal.SIGKILL, "decoder was killed, probably because memory ran out"),
        (signal.SIGALRM, "took longer than 20 seconds to decode a single frame"),
    ],
)
def test_a_crash_ends_its_own_stream_only(number, message):
    crashing = sample(CLIP, 1000)
    process = decoder_of(crashing)
    other = sample(CLIP, 1000)
    os.kill(process.pid, number)
    with pytest.raises(VideoError, match=f'^"long_groups.mp4" .*{message}'):
        drain(crashing)
    assert list(crashing) == []
    assert len(list(other)) == 600


def test_a_decoder_that_hangs_is_killed():
    sampler = VideoSampler(CLIP, 1000, limits=replace(LIMITS, silence_seconds=0.5))
    process = decoder_of(sampler)
    process.suspend()
    with pytest.raises(VideoError, match=r"no frame came within 0.5 seconds"):
        drain(sampler)
    psutil.wait_procs([process], timeout=60)
    assert not process.is_running()


@pytest.fixture(scope="module")
def large_video(tmp_path_factory):
    """Two frames of 8K."""
    return write_video(tmp_path_factory.mktemp("large") / "8k.avi", frames=2, size=(7680, 4320))


def test_a_frame_that_takes_too_long_is_stopped(large_video):
    with pytest.raises(VideoError, match=r"took too long to open, so it was stopped"):
        VideoSampler(large_video, 30, limits=replace(LIMITS, step_seconds=0.01, open_seconds=0.01))


def test_a_file_that_needs_too_much_processor_time_is_stopped():
    limits = replace(LIMITS, base_cpu_seconds=0.05, cpu_rate=0.0)
    with pytest.raises(VideoError, match=r"takes too long to decode: .* processor time .* Convert it"):
        drain(VideoSampler(CLIP, 1000, limits=limits))


def test_a_file_that_needs_too_much_memory_is_stopped(large_video):
    used = psutil.Process(fork_server()._process.pid).memory_info().vms
    with pytest.raises(VideoError, match=r"needs more than .* of memory"):
        drain(VideoSampler(large_video, 30, limits=replace(LIMITS, address_space=used + (40 << 20))))


def test_a_file_that_is_too_large():
    with pytest.raises(VideoError, match="is larger than"):
        VideoSampler(CLIP, 1, limits=replace(LIMITS, file_bytes=1000))


def test_a_sampler_that_is_not_read_stops_decoding():
    sampler = sample(CLIP, 1000)
    process = decoder_of(sampler)
    held = 1  # one frame was read, and its slot is not released yet
    while waiting_messages(sampler).count(b'"frame"') < LIMITS.slots - held:
        threading.Event().wait(0.01)
    while process.status() != psutil.STATUS_SLEEPING:
        threading.Event().wait(0.01)
    assert waiting_messages(sampler).count(b'"frame"') <= LIMITS.slots
    assert len(list(sampler)) == 599
    assert sampler.decoded == 600


def test_a_sampler_that_is_dropped_or_closed_ends_its_decoder():
    sampler = sample(CLIP, 1000)
    process = decoder_of(sampler)
    sampler.close()
    psutil.wait_procs([process], timeout=60)
    assert not process.is_running()
    sampler = sample(CLIP, 1000)
    process = decoder_of(sampler)
    del sampler
    gc.collect()
    psutil.wait_procs([process], timeout=60)
    assert not process.is_running()


def test_closing_from_another_thread_ends_iteration():
    sampler = sample(CLIP, 1000)
    process = decoder_of(sampler)
    process.suspend()
    reading = threading.Thread(target=drain, args=(sampler,))
    reading.start()
    sampler.close()
    reading.join(60)
    assert not reading.is_alive()


def test_the_fork_server_starts_again():
    server = fork_server()._process
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    assert len(list(sample(CLIP, 1))) == 20


def test_decoders_end_with_the_program():
    program = f"""
import os, signal
from hermes.video import sample
from hermes.video.decoder_process import fork_server
sampler = sample({str(CLIP)!r}, 1000)
next(sampler)
print(fork_server()._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    try:
        server = psutil.Process(int(done.stdout))
        running = [server, *server.children()]
    except psutil.NoSuchProcess:
        running = []
    _, alive = psutil.wait_procs(running, timeout=60)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def test_a_forked_process_shares_the_fork_server():
    """As ZeroGPU does: both may read videos at the same time, and each gets its own frames."""
    fork_server().start()
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    mine = sample(DATA / "c01-av1.mp4", 1000)

    def work():
        answers.put([(at, float(picture.mean())) for picture, at in sample(CLIP, 5)])

    child = fork.Process(target=work)
    child.start()
    here = [(at, float(picture.mean())) for picture, at in mine]
    there = answers.get()
    child.join()
    assert there == [(at, float(picture.mean())) for picture, at in sample(CLIP, 5)]
    assert len(here) == 40


def test_many_streams_at_once_get_their_own_frames():
    expected = {
        name: [float(p.mean()) for p, _ in sample(DATA / name, 2)] for name in ("c01-av1.mp4", "long_groups.mp4")
    }
    got = {}

    def read(number, name):
        got[number] = (name, [float(picture.mean()) for picture, _ in sample(DATA / name, 2)])

    threads = [threading.Thread(target=read, args=(i, list(expected)[i % 2])) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 12
    assert all(means == expected[name] for name, means in got.values())


def test_a_confined_process_can_open_nothing():
    """What `confine` leaves: memory, and the descriptors that are open already."""
    program = f"""
import os, socket, sys
from hermes.video.limits import LIMITS, confine
confine(LIMITS)
failed = 0
for attempt in (
    lambda: os.open({str(CLIP)!r}, os.O_RDONLY),
    lambda: socket.socket(),
    lambda: os.dup(1),
    lambda: os.pipe(),
):
    try:
        attempt()
    except OSError:
        failed += 1
os.write(1, str(failed).encode())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"4"


def test_a_decoder_starts_with_no_memory_of_earlier_videos():
    """Two decoders in a row: the second one's process is another, forked before the first video was read."""
    first = sample(CLIP, 1000)
    one = decoder_of(first).pid
    first.close()
    psutil.wait_procs(decoders(), timeout=60)
    second = sample(DATA / "c01-av1.mp4", 1000)
    assert decoder_of(second).pid != one


def test_messages_of_a_decoder_are_not_trusted(monkeypatch):
    """A decoder process that was taken over by a file: whatever it says, the owner raises one error."""
    facts = '"fps": 1, "width": 1, "height": 1, "rotation": 0, "mirrored": false, "frame_count": 1'
    lines = [
        b"no json\n",
        b"[]\n",
        b'{"info": {}, "size": [1, 1]}\n',
        f'{{"info": {{"duration": 1e999, {facts}}}, "size": [4, 4]}}\n'.encode(),
        f'{{"info": {{"duration": 1, {facts}}}, "size": [90000, 90000]}}\n'.encode(),
        b"x" * 200_000,
    ]
    for line in lines:

        def answer(_, descriptors, line=line):
            theirs = socket.socket(fileno=os.dup(descriptors[0]))
            theirs.sendall(line)
            theirs.close()

        monkeypatch.setattr(ForkServer, "request", answer)
        with pytest.raises(VideoError, match="could not be decoded any further"):
            sample(CLIP, 1)


def test_a_decoder_frees_its_frames(tmp_path):
    """100 frames of 1.4 MB: a decoder that kept them until the garbage collector runs would need 130 MB more."""
    with av.open(str(tmp_path / "long.mkv"), "w") as target:
        stream = target.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuvj420p"
        for _ in range(100):
            target.mux(stream.encode(av.VideoFrame(1280, 720, "yuvj420p")))
        target.mux(stream.encode(None))
    sampler = sample(tmp_path / "long.mkv", 1000, max_side=16)
    process = decoder_of(sampler)
    first = process.memory_info().rss
    most = max(process.memory_info().rss for number, _ in enumerate(sampler) if number < 90)
    assert most - first < 50 << 20


def test_frames_are_copies():
    (first, _), (second, _) = list(sample(CLIP, 0.1))
    before = first.copy()
    second[:] = 0
    assert np.array_equal(first, before)
