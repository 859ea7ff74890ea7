// A client of the public endpoints: `node api-client.mjs ADDRESS VIDEO QUESTION` prints the answers and the memory as JSON.
import { readFileSync } from "node:fs";
import { Client, handle_file } from "@gradio/client";

const [address, video, question] = process.argv.slice(2);
const token = crypto.randomUUID().replaceAll("-", "");
const client = await Client.connect(address, { headers: { "x-hermes-tab": token } });
let { data: [status] } = await client.predict("/start", { video: handle_file(new Blob([readFileSync(video)])), policy: "sliding-window" });
while (status.state === "playing") {
  await new Promise((resolve) => setTimeout(resolve, 100));
  ({ data: [status] } = await client.predict("/status", {}));
}
const answers = [];
for await (const message of client.submit("/ask", { question })) {
  if (message.type === "data") answers.push(message.data[0]);
  if (message.type === "status" && ["complete", "error"].includes(message.stage)) break;
}
const { data: [memory] } = await client.predict("/memory", {});
await client.predict("/close", {});
console.log(JSON.stringify({ status, answers, memory }));
process.exit();
