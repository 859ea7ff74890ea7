// The visitor's camera: requested on Start and released on Stop. Frames are sent one at a time, so that stale ones are skipped.

const WIDTH = 448;

/** Message for a camera that could not be opened; `error` is the browser's exception. */
export function cameraProblem(error, secure = true) {
  if (!secure) return "Browsers allow camera access only on pages served over https or from this computer (localhost).";
  const messages = {
    NotAllowedError: "Camera access was denied. Allow it in the browser's address bar and press Start again.",
    NotFoundError: "No camera was found on this device. Connect one or choose a clip.",
    NotReadableError: "The camera is in use by another program. Close that program and press Start again.",
    OverconstrainedError: "This camera does not support a small picture size. Choose another camera or a clip.",
  };
  return messages[error?.name] ?? "The camera could not be opened. Choose a clip or try another browser.";
}

/** Size of the frames sent: at most 448 pixels wide, with the same aspect ratio. */
export function sendSize(width, height) {
  const scale = Math.min(1, WIDTH / Math.max(width, 1));
  return [Math.round(width * scale), Math.round(height * scale)];
}

/** A camera that calls `send(base64 jpeg)` about `fps()` times per second while `ready()` is true, and `lost(message)` when it is disconnected. */
export function makeCamera(send, ready, fps, lost) {
  let stream = null;
  let timer = null;
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.setAttribute("aria-label", "Your camera");
  const canvas = document.createElement("canvas");

  function capture() {
    timer = setTimeout(capture, 1000 / fps());
    if (!video.videoWidth || video.paused || !ready()) return;
    const [width, height] = sendSize(video.videoWidth, video.videoHeight);
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d").drawImage(video, 0, 0, width, height);
    send(canvas.toDataURL("image/jpeg", 0.85).split(",")[1]);
  }

  return {
    video,
    get on() {
      return stream !== null;
    },
    async open() {
      if (!navigator.mediaDevices?.getUserMedia) throw new Error(cameraProblem(null, window.isSecureContext));
      try {
        stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: WIDTH }, height: { ideal: 336 } }, audio: false });
      } catch (error) {
        throw new Error(cameraProblem(error), { cause: error });
      }
      stream.getVideoTracks()[0].addEventListener("ended", () => lost("The camera was disconnected."));
      video.srcObject = stream;
      await video.play();
      capture();
    },
    hold(paused) {
      if (!stream) return;
      if (paused) video.pause();
      else video.play();
    },
    close() {
      clearTimeout(timer);
      for (const track of stream?.getTracks() ?? []) track.stop();
      stream = null;
      video.srcObject = null;
    },
  };
}
