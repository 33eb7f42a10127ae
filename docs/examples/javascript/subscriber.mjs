// A subscriber in JavaScript (Node 18 or newer): verify a webhook, then trust it.
//
// npm ci && WEBHOOK_SECRET=whsec_... node subscriber.mjs [PORT]
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const MOST_BYTES = 1_048_576;
const webhook = new Webhook(process.env.WEBHOOK_SECRET ?? ""); // throws without a secret
const seen = new Set(); // in a real service: a table of events, with the id as a unique key

// begin: receive
async function receive(request, response) {
  const body = await bytesOf(request); // the raw bytes: JSON.stringify(JSON.parse(body)) would differ
  if (body === null) return response.writeHead(413, { connection: "close" }).end();
  let event;
  try {
    event = webhook.verify(body, request.headers);
  } catch (error) {
    console.log("refused:", error.message);
    return response.writeHead(401).end();
  }
  const id = request.headers["webhook-id"];
  const duplicate = seen.has(id); // a webhook may come twice
  seen.add(id); // before the answer: what you answer 2xx is not sent again
  response.writeHead(204).end(); // before the work: the gateway waits 15 s at most
  if (duplicate) return console.log("duplicate:", id);
  if (!event.type.startsWith("job.")) return console.log("ignored:", id, event.type); // a test, or a new type
  console.log("verified:", id, event.type, event.data.id); // your work goes here
}
// end: receive

async function bytesOf(request) {
  const pieces = [];
  let size = 0;
  for await (const piece of request.iterator({ destroyOnReturn: false })) {
    size += piece.length;
    if (size > MOST_BYTES) return null;
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

const server = createServer((request, response) => {
  receive(request, response).catch((error) => {
    console.log("failed:", error.message);
    response.destroy();
  });
});
server.listen(Number(process.argv[2] ?? 3000), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}/hook`);
});
