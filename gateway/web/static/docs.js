"use strict";

// One part of the API at a time, because the page shows its first operation sooner then. `?api=` names it.
const OPERATORS = ["operators", "operations", "callbacks"];
const PARTS = {
  clients: { document: "/openapi.json", shows: (tag) => !OPERATORS.includes(tag) },
  events: { document: "/openapi.json", shows: () => false, title: "vidu-gateway: events" },
  operators: {
    document: "/openapi.json",
    shows: (tag) => OPERATORS.includes(tag),
    title: "vidu-gateway: for operators",
  },
};
const part = new URLSearchParams(location.search).get("api") ?? "clients";
// Any other name is a door's, which has a document of its own.
const { document: address, shows, title } = Object.hasOwn(PARTS, part)
  ? PARTS[part]
  : { document: `/openapi-${encodeURIComponent(part)}.json`, shows: () => true };
const METHODS = ["get", "put", "post", "delete", "patch"];

function only(whole) {
  const paths = {};
  for (const [path, item] of Object.entries(whole.paths)) {
    const kept = Object.entries(item).filter(([name, one]) => !METHODS.includes(name) || shows(one.tags[0]));
    if (kept.some(([name]) => METHODS.includes(name))) paths[path] = Object.fromEntries(kept);
  }
  const order = (tag) => OPERATORS.indexOf(tag.name);
  const tags = whole.tags.filter((tag) => shows(tag.name)).sort((one, other) => order(one) - order(other));
  const made = { ...whole, paths, tags };
  if (title) made.info = { ...whole.info, title, description: "" };
  if (part !== "events") delete made.webhooks;
  return { ...made, components: needed(made) };
}

// The components to which something refers: Swagger UI reads them all before it shows anything.
function needed({ components, ...rest }) {
  const kept = { ...components, schemas: {}, responses: {} };
  const look = (value) => {
    for (const [, kind, name] of JSON.stringify(value).matchAll(/"#\/components\/(schemas|responses)\/([^"\/]+)/g)) {
      if (name in kept[kind]) continue;
      kept[kind][name] = components[kind][name];
      look(components[kind][name]);
    }
  };
  look(rest);
  return kept;
}

// The value of a parameter or a body, from its example.
const EXAMPLES = { job_id: "job_01KAN7Q8ZJ4W6T3M5X9R2B1CDE", tenant: "acme" };
const plain = (value) => (value && value.toJS ? value.toJS() : value);

function bodyOf(operation) {
  const content = plain(operation.getIn(["requestBody", "content", "application/json"]));
  if (!content) return undefined;
  const examples = Object.values(content.examples ?? {});
  return examples[0]?.value ?? content.example ?? content.schema?.examples?.[0] ?? {};
}

function requestOf(path, method, operation) {
  const address = path.replace(/\{(\w+)\}/g, (whole, name) => EXAMPLES[name] ?? name.toUpperCase());
  const key = (plain(operation.get("security")) ?? []).length > 0;
  const idempotent = (plain(operation.get("parameters")) ?? []).some((one) => one.name === "Idempotency-Key");
  return { address, method: method.toUpperCase(), key, body: bodyOf(operation), idempotent };
}

const SAMPLES = {
  curl({ address, method, key, body, idempotent }) {
    const parts = [`curl -sS${method === "GET" ? "" : ` -X ${method}`} $GATEWAY${address}`];
    if (key) parts.push(`-H "Authorization: Bearer $KEY"`);
    if (idempotent) parts.push(`-H 'Idempotency-Key: order-17'`);
    if (body) parts.push(`-H 'Content-Type: application/json'`, `-d '${JSON.stringify(body, null, 2).replaceAll("'", "'\\''")}'`);
    return parts.join(" \\\n  ");
  },
  Python({ address, method, key, body, idempotent }) {
    const headers = [];
    if (key) headers.push(`"Authorization": f"Bearer {KEY}"`);
    if (idempotent) headers.push(`"Idempotency-Key": "order-17"`);
    const text = JSON.stringify(body, null, 4)
      ?.replace(/: true\b/g, ": True").replace(/: false\b/g, ": False").replace(/: null\b/g, ": None");
    const lines = [`    "${method}",`, `    f"{GATEWAY}${address}",`];
    if (headers.length) lines.push(`    headers={${headers.join(", ")}},`);
    if (text) lines.push(`    json=${text.replaceAll("\n", "\n    ")},`);
    return ["import requests", "", "answer = requests.request(", ...lines, "    timeout=70,", ")",
      "answer.raise_for_status()", "print(answer.text)"].join("\n");
  },
  JavaScript({ address, method, key, body, idempotent }) {
    const headers = [];
    if (key) headers.push("    Authorization: `Bearer ${KEY}`,");
    if (idempotent) headers.push(`    "Idempotency-Key": "order-17",`);
    if (body) headers.push(`    "Content-Type": "application/json",`);
    const lines = [`  method: "${method}",`];
    if (headers.length) lines.push("  headers: {", ...headers, "  },");
    if (body) lines.push(`  body: JSON.stringify(${JSON.stringify(body, null, 2).replaceAll("\n", "\n  ")}),`);
    return [`const answer = await fetch(\`\${GATEWAY}${address}\`, {`, ...lines, "});",
      "if (!answer.ok) throw new Error(await answer.text());", "console.log(await answer.text());"].join("\n");
  },
};

function samples(system) {
  const h = system.React.createElement;
  return function Samples({ path, method, operation }) {
    const [language, choose] = system.React.useState(Object.keys(SAMPLES)[0]);
    const tab = (name) =>
      h("button", { key: name, type: "button", "aria-pressed": name === language, onClick: () => choose(name) }, name);
    return h("div", { className: "samples" }, h("div", { className: "tabs" }, Object.keys(SAMPLES).map(tab)),
      h("pre", { tabIndex: 0 }, SAMPLES[language](requestOf(path, method, operation))));
  };
}

// Swagger UI shows the parameters of an operation when it is opened. The samples stand above them.
function withSamples(Original, system) {
  const h = system.React.createElement;
  const Samples = samples(system);
  return function Parameters(props) {
    const [, path, method] = plain(props.specPath) ?? [];
    const found = METHODS.includes(method) && h(Samples, { path, method, operation: props.operation });
    return h(system.React.Fragment, null, found, h(Original, props));
  };
}

// Swagger UI would read the document as YAML, and resolve all of it for its security schemes, which refer to nothing.
// Both together took most of the time until something was shown.
const SCHEMES = ["components", "securitySchemes"];
const wrapActions = {
  parseToJson: (original, { specActions }) => (text) => specActions.updateJsonSpec(JSON.parse(text)),
  requestResolvedSubtree: (original, { specActions, specSelectors }) => (path) =>
    path.join() === SCHEMES.join()
      ? specActions.updateResolvedSubtree(path, specSelectors.specJson().getIn(path).toJS())
      : original(path),
};

function follow(dark) {
  document.documentElement.classList.toggle("dark-mode", dark.matches);
}

async function start() {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address} answers ${answer.status}: this API is closed here`);
  const spec = only(await answer.json());
  SwaggerUIBundle({
    spec,
    dom_id: "#api",
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: -1,
    displayRequestDuration: true,
    persistAuthorization: false,
    validatorUrl: null,
    plugins: [() => ({ wrapComponents: { parameters: withSamples }, statePlugins: { spec: { wrapActions } } })],
  });
}

const dark = matchMedia("(prefers-color-scheme: dark)");
follow(dark);
dark.addEventListener("change", follow);
document.querySelector(`nav a[href$="api=${CSS.escape(part)}"]`)?.setAttribute("aria-current", "page");
start().catch((error) => {
  document.querySelector("#api").textContent = error.message;
});
