// The page in a headless Chromium, by the DevTools protocol.
//
// usage: node --experimental-websocket browser.mjs [--shots FOLDER] [--kitchenware FOLDER] [--not-isolated]
//
// --shots writes screenshots at 1280 and 390 pixels. --kitchenware is the unpacked Python package of the README's
// quick start: an Xception and photographs, of which it must have the labelled ones right.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: {
    shots: { type: "string" },
    kitchenware: { type: "string" },
    "not-isolated": { type: "boolean", default: false },
  },
});
const here = import.meta.dirname;
const scratch = mkdtempSync(join(tmpdir(), "sepconv-"));
const children = [];
/** How long to wait for anything. Machines that are busy take long. */
const PATIENCE = 300_000;

/** Starts a program and waits for a line that matches. */
function start(command, args, pattern, stream) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  return new Promise((fulfil, reject) => {
    let said = "";
    const hear = (data) => {
      said += data;
      const found = said.match(pattern);
      if (found) fulfil(found[1]);
    };
    child[stream].on("data", hear);
    child[stream === "stdout" ? "stderr" : "stdout"].resume();
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`${command} ended with ${code}: ${said}`)));
  });
}

/** A page by the DevTools protocol: `send(method, params)`. */
class Page {
  #socket;
  #waiting = new Map();
  #next = 1;
  /** What the console said, and what was thrown. */
  problems = [];

  static async open(port) {
    const response = await fetch(`http://127.0.0.1:${port}/json/new?about:blank`, { method: "PUT" });
    const { webSocketDebuggerUrl } = await response.json();
    const page = new Page();
    page.#socket = new WebSocket(webSocketDebuggerUrl);
    page.#socket.onmessage = ({ data }) => page.#hear(JSON.parse(data));
    await new Promise((fulfil, reject) => Object.assign(page.#socket, { onopen: fulfil, onerror: reject }));
    for (const domain of ["Page", "Runtime", "DOM", "Log"]) await page.send(`${domain}.enable`);
    return page;
  }

  #hear({ id, result, error, method, params }) {
    if (id !== undefined) {
      const { fulfil, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) reject(new Error(error.message));
      else fulfil(result);
    } else if (method === "Runtime.exceptionThrown") {
      this.problems.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    } else if (method === "Log.entryAdded" && params.entry.level === "error") {
      this.problems.push(params.entry.text);
    }
  }

  send(method, params = {}) {
    const id = this.#next++;
    this.#socket.send(JSON.stringify({ id, method, params }));
    return new Promise((fulfil, reject) => this.#waiting.set(id, { fulfil, reject }));
  }

  async evaluate(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Waits until an expression is true. */
  async until(expression) {
    const end = Date.now() + PATIENCE;
    while (!(await this.evaluate(expression))) {
      if (Date.now() > end) throw new Error(`never: ${expression}; ${this.problems.join("; ")}; ${await this.evaluate("document.body.innerText")}`);
      await new Promise((fulfil) => setTimeout(fulfil, 50));
    }
  }

  text(id) {
    return this.evaluate(`document.getElementById(${JSON.stringify(id)}).innerText`);
  }

  click(selector) {
    return this.evaluate(`document.querySelector(${JSON.stringify(selector)}).click()`);
  }

  async choose(id, file) {
    const { root } = await this.send("DOM.getDocument");
    const { nodeId } = await this.send("DOM.querySelector", { nodeId: root.nodeId, selector: `#${id}` });
    await this.send("DOM.setFileInputFiles", { nodeId, files: [resolve(file)] });
  }

  async drag(points) {
    const mouse = (type, [x, y]) => this.send("Input.dispatchMouseEvent", { type, x, y, button: "left", buttons: 1, clickCount: 1 });
    await mouse("mousePressed", points[0]);
    for (const point of points.slice(1)) await mouse("mouseMoved", point);
    await mouse("mouseReleased", points.at(-1));
  }

  async shoot(name, width) {
    const mobile = width < 600;
    await this.send("Emulation.setDeviceMetricsOverride", { width, height: 900, deviceScaleFactor: 1, mobile });
    const { cssContentSize } = await this.send("Page.getLayoutMetrics");
    assert.ok(cssContentSize.width <= width, `at ${width} pixels the page is ${cssContentSize.width} wide`);
    if (!options.shots) return;
    // All of it is painted before it is taken.
    await this.send("Emulation.setDeviceMetricsOverride", { width, height: cssContentSize.height, deviceScaleFactor: 1, mobile });
    await this.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
    const clip = { x: 0, y: 0, width, height: cssContentSize.height, scale: 1 };
    const { data } = await this.send("Page.captureScreenshot", { format: "png", captureBeyondViewport: true, clip });
    mkdirSync(options.shots, { recursive: true });
    writeFileSync(join(options.shots, `${name}-${width}.png`), Buffer.from(data, "base64"));
  }
}

/** An up and down stroke, in pixels of the window. */
async function drawOne(page) {
  await page.evaluate("document.getElementById('pad').scrollIntoView({ block: 'center' })");
  const box = await page.evaluate("(({ left, top, width, height }) => ({ left, top, width, height }))(document.getElementById('pad').getBoundingClientRect())");
  const at = (x, y) => [box.left + x * box.width, box.top + y * box.height];
  const line = (from, to) => Array.from({ length: 9 }, (_, i) => at(from[0] + ((to[0] - from[0]) * i) / 8, from[1] + ((to[1] - from[1]) * i) / 8));
  await page.drag([...line([0.5, 0.12], [0.5, 0.88])]);
}

async function digits(page) {
  await page.until("document.body.dataset.checked !== undefined");
  console.log(await page.text("engine"));
  console.log(await page.text("check"));
  assert.equal(await page.evaluate("document.body.dataset.checked"), "same");
  assert.match(await page.text("check"), /99 of 100 unseen digits right/);
  for (const digit of [0, 3, 7]) {
    await page.click(`#samples button:nth-child(${digit + 1})`);
    await page.until(`document.getElementById('digit-answer').innerText.startsWith('${digit}, ')`);
  }
  await page.click("#clear");
  await page.until("document.getElementById('digit-answer').innerText === '…'");
  await drawOne(page);
  await page.until("document.getElementById('digit-answer').innerText.startsWith('1, ')");
}

async function errors(page) {
  const bad = join(scratch, "bad.keras");
  const model = readFileSync(join(here, "../../assets/digits.keras"));
  writeFileSync(bad, model.subarray(0, model.length / 2));
  await page.choose("model-file", bad);
  await page.until("!document.getElementById('error').hidden");
  const shown = await page.text("error");
  assert.match(shown, /^bad\.keras: /);
  console.log(`shown for half a file: ${shown}`);
  const notes = join(scratch, "notes.png");
  writeFileSync(notes, "no picture");
  copyFileSync(join(here, "../../assets/digits.keras"), join(scratch, "digits.keras"));
  await page.choose("model-file", join(scratch, "digits.keras"));
  await page.until("!document.getElementById('model-card').hidden");
  assert.ok(await page.evaluate("document.getElementById('error').hidden"));
  await page.choose("picture-file", notes);
  await page.until("!document.getElementById('error').hidden");
  assert.match(await page.text("error"), /^notes\.png: neither sepconv nor this browser/);
}

async function kitchenware(page, folder) {
  const models = join(folder, "trained_models");
  const [model] = readdirSync(models).filter((name) => name.endsWith(".keras"));
  await page.choose("model-file", join(models, model));
  await page.until("document.getElementById('model-card').innerText.includes('150×150×3')");
  const labels = join(scratch, "labels.txt");
  writeFileSync(labels, "cup\nfork\nglass\nknife\nplate\nspoon\n");
  await page.choose("labels-file", labels);
  const [, ...rows] = readFileSync(join(folder, "datasets/kitchenware-data/train.csv"), "utf8").trim().split(/\r?\n/);
  const images = join(folder, "datasets/kitchenware-data/images");
  let count = 0;
  for (const [id, label] of rows.map((row) => row.split(","))) {
    const file = join(images, `${id}.jpg`);
    if (!existsSync(file)) continue;
    await page.choose("picture-file", file);
    await page.until(`document.getElementById('picture-time').innerText !== '' && document.getElementById('picture-name').innerText === '${id}.jpg'`);
    const answer = await page.text("picture-answer");
    assert.ok(answer.startsWith(`${label}, `), `${id}.jpg: expected ${label}, got ${answer}`);
    console.log(`${id}.jpg: ${answer} ${await page.text("picture-time")}`);
    count++;
  }
  assert.ok(count > 0, "no labelled photographs");
}

async function measurements(page) {
  await page.click("#measure");
  await page.until("document.body.dataset.measured !== undefined");
  console.log(await page.text("layers-summary"));
  assert.ok(await page.evaluate("document.querySelectorAll('#layers tbody tr').length") >= 10);
  await page.click("#compare-form button");
  await page.until("document.body.dataset.compared !== undefined");
  console.log(await page.text("compare"));
}

async function main() {
  const isolation = options["not-isolated"] ? ["--not-isolated"] : [];
  const address = await start("python3", [join(here, "../serve.py"), "--port", "0", ...isolation], /(http:\S+)/, "stdout");
  const port = await start("chromium", [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run",
    `--user-data-dir=${join(scratch, "profile")}`,
  ], /listening on ws:\/\/[^:]+:(\d+)\//, "stderr");
  const page = await Page.open(port);
  await page.send("Emulation.setDeviceMetricsOverride", { width: 1280, height: 900, deviceScaleFactor: 1, mobile: false });
  await page.send("Page.navigate", { url: address });
  await page.until("document.readyState === 'complete'");
  await digits(page);
  if (options.kitchenware) await kitchenware(page, options.kitchenware);
  else await errors(page);
  await measurements(page);
  const name = options.kitchenware ? "kitchenware" : "digits";
  for (const width of [1280, 390]) await page.shoot(name, width);
  await page.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: "dark" }] });
  for (const width of [1280, 390]) await page.shoot(`${name}-dark`, width);
  if (options.kitchenware) await errors(page);
  assert.deepEqual(page.problems, []);
  console.log("the page works");
}

let status = 0;
try {
  await main();
} catch (error) {
  console.error(error);
  status = 1;
}
children.forEach((child) => child.kill());
setTimeout(() => {
  rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
  process.exit(status);
}, 500);
