// Messages about uploads that failed.
import { whole } from "./format.js";

/** Why a file is not uploaded, or "" if it can be: its size. Pure. */
export function sizeProblem(file, limitMb, wanted) {
  if (file.size > limitMb * 1e6) return `${file.name} is ${whole(file.size / 1e6)} MB. The limit is ${limitMb} MB.`;
  return file.size ? "" : `${file.name} is empty. Choose ${wanted}.`;
}

/** Why an upload failed. Gradio's error contains the status and the server's sentence, unless the connection was lost. Pure. */
export function uploadProblem(name, error, limitMb) {
  const [, status, reason] = /HTTP (\d{3}): ([^<]{1,200}\.)\s*$/.exec(error?.message ?? "") ?? [];
  if (status === "413" || /HTTP 413/.test(error?.message ?? "")) return `${name} is too large. The limit is ${limitMb} MB.`;
  return `${name} could not be uploaded. ${reason ?? "Check the connection and try again."}`;
}
