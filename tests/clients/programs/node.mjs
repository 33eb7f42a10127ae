// openai-node, as a test tells it to. One order a line, one answer a line, as those of python.py.
import fs from "node:fs";
import readline from "node:readline";
import OpenAI, { toFile } from "openai";

const clients = new Map();
const of = (base, key) => {
  const name = `${base} ${key}`;
  if (!clients.has(name)) clients.set(name, new OpenAI({ baseURL: `${base}/v1`, apiKey: key }));
  return clients.get(name);
};

const calls = {
  // A stream can be sent only once: with one, the library cannot try again.
  create: async (client, { file, stream, headers, ...args }) => {
    const read = () => (stream ? fs.createReadStream(file) : toFile(fs.readFileSync(file), "fox.png"));
    return client.videos.create(file ? { ...args, input_reference: await read() } : args, { headers });
  },
  retrieve: (client, { video }) => client.videos.retrieve(video),
  list: async (client, args) => {
    const found = [];
    for await (const one of client.videos.list(args)) found.push(one.id);
    return found;
  },
  delete: (client, { video }) => client.videos.delete(video),
  download: async (client, { video, variant }) =>
    (await (await client.videos.downloadContent(video, { variant })).arrayBuffer()).byteLength,
  models: async (client) => {
    const found = [];
    for await (const model of client.models.list()) found.push(model.id);
    return found;
  },
  remix: (client, { video }) => client.videos.remix(video, { prompt: "again" }),
  unwrap: async (client, { body, headers, secret }) =>
    (await client.webhooks.unwrap(body, headers, secret)).type,
};

console.log("ready");
for await (const line of readline.createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await calls[order.call](of(order.base, order.key), order.args)) ?? null };
  } catch (error) {
    answer = { error: error.constructor.name, status: error.status ?? null, message: String(error.message) };
  }
  console.log(JSON.stringify(answer));
}
