// The visitor's camera: asked for only on Start, frames sent one at a time so that the newest wins, freed on stop.

const WIDTH = 448;

/** Why a camera did not open, as a sentence for the person. `error` is what the browser threw. */
export function cameraProblem(error, secure = true) {
  if (!secure) return "The browser gives the camera only to pages opened over https or on this computer (localhost).";
  const sentences = {
    NotAllowedError: "The camera was refused. Allow it in the browser's address bar, then press Start again.",
    NotFoundError: "No camera was found on this device. Connect one, or choose a clip.",
    NotReadableError: "The camera is in use by another program. Close it there, then press Start again.",
    OverconstrainedError: "This camera cannot give a small picture. Choose another camera, or a clip.",
  };
  return sentences[error?.name] ?? "The camera could not be opened. Choose a clip, or try another browser.";
}

/** Size to send: at most 448 pixels wide, same shape. */
export function sendSize(width, height) {
  const scale = Math.min(1, WIDTH / Math.max(width, 1));
  return [Math.round(width * scale), Math.round(height * scale)];
}

/** A camera that calls `send(base64 jpeg)` about `fps()` times a second while `ready()` says the last one arrived. */
export function makeCamera(send, ready, fps, lost) {
  let stream = null;
  let timer = null;
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.setAttribute("aria-label", "Your camera");
  const canvas = document.createElement("canvas");

  function shoot() {
    timer = setTimeout(shoot, 1000 / fps());
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
      shoot();
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
