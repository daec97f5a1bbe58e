// The page: what people do goes to the worker, and what it answers is shown.

import { bars, comparison, element, large, layers, milliseconds, number } from "./charts.js";
import { Pad, picture, show } from "./drawing.js";

const by = (id) => document.getElementById(id);
const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });

// ---------------------------------------------------------------- calls

const waiting = new Map();
let calls = 0;

/** Asks the worker. Calls with a text show how far they are. */
function ask(call, options, { text = null, transfer = [] } = {}) {
  const id = calls++;
  const answer = new Promise((resolve, reject) => waiting.set(id, { resolve, reject, text }));
  worker.postMessage({ id, call, options }, transfer);
  showProgress();
  return answer;
}

worker.onmessage = ({ data: { id, result, error, done } }) => {
  const call = waiting.get(id);
  if (done !== undefined) {
    call.done = done;
  } else {
    waiting.delete(id);
    if (error === undefined) call.resolve(result);
    else call.reject(new Error(error));
  }
  showProgress();
};

worker.onerror = (event) => fail(`The worker ended: ${event.message ?? "its script can't be loaded"}`);

/** Shows the first call that has a text, if it takes a moment. */
let delay = null;
function showProgress() {
  const call = [...waiting.values()].find((call) => call.text !== null);
  const bar = by("progress");
  if (!call) {
    clearTimeout(delay);
    delay = null;
    bar.hidden = true;
    return;
  }
  by("progress-text").textContent = call.text;
  const progress = bar.querySelector("progress");
  if (call.done === undefined) progress.removeAttribute("value");
  else progress.value = call.done;
  delay ??= setTimeout(() => { bar.hidden = false; }, 200);
}

function fail(message) {
  by("error").textContent = message;
  by("error").hidden = false;
}

/** Runs `action`; what goes wrong is shown until the next one. */
async function attempt(action) {
  by("error").hidden = true;
  try {
    await action();
  } catch (error) {
    fail(error.message);
  }
}

// ---------------------------------------------------------------- start

function engine({ about, variant, isolated }) {
  const fused = about.hasFma ? "with fused multiply-adds" : "without fused multiply-adds";
  let threads = `${about.threads} threads`;
  if (about.threads === 1) {
    if (!isolated) threads = "one thread, as this page is not cross-origin isolated";
    else if (navigator.hardwareConcurrency > 1) threads = "one thread, as builds with threads are not here";
    else threads = "one thread";
  }
  return `Level ${about.level}, ${fused}; arithmetic ${about.arithmetic}; ${threads} (build ${variant}).`;
}

attempt(async () => {
  const started = await ask("start", {}, { text: "Loading…" });
  by("engine").textContent = engine(started);
  samples(started.sheet);
  document.querySelectorAll("button:disabled").forEach((button) => { button.disabled = false; });
  document.body.dataset.ready = "yes";
  const checked = await ask("check", {});
  by("check").textContent = checked.map(({ arithmetic, right, of, same, milliseconds: time }) =>
    `Arithmetic ${arithmetic}: ${right} of ${of} unseen digits right, ${milliseconds(time / of)} each, ` +
    `${same ? "the same bits as on other CPUs" : "OTHER BITS than on other CPUs"}.`).join(" ");
  document.body.dataset.checked = checked.every((check) => check.same) ? "same" : "different";
});

// ---------------------------------------------------------------- digits

let asked = 0;

async function read(gray) {
  show(by("seen"), gray ?? new Uint8Array(64));
  if (gray === null) {
    by("digit-answer").textContent = "…";
    by("digit-bars").replaceChildren();
    by("digit-time").textContent = "";
    return;
  }
  const mine = ++asked;
  const answer = await ask("classify", { model: "digits", picture: picture(gray), name: "drawing", top: 10 });
  // While one draws, only the last counts.
  if (mine !== asked) return;
  const [best] = answer.top;
  by("digit-answer").textContent = `${best.label}, ${percent(best.value)}`;
  bars(by("digit-bars"), Array.from(answer.values, (value, i) => ({ name: String(i), part: value, text: percent(value) })));
  by("digit-time").textContent = `In ${milliseconds(answer.milliseconds)}.`;
}

function percent(part) {
  return `${(100 * part).toLocaleString("en", { maximumFractionDigits: 1 })} %`;
}

const pad = new Pad(by("pad"), (gray) => attempt(() => read(gray)));
by("clear").addEventListener("click", () => pad.clear());

/** The first of each digit on the sheet. */
function samples({ size: [, width], digit, labels, gray }) {
  const columns = width / digit;
  const first = [...new Set(labels)].sort().map((label) => labels.indexOf(label));
  by("samples").replaceChildren(...first.map((i) => {
    const corner = Math.floor(i / columns) * digit * width + (i % columns) * digit;
    const pixels = Uint8Array.from({ length: digit * digit },
      (_, at) => gray[corner + Math.floor(at / digit) * width + at % digit]);
    const canvas = element("canvas", { width: digit, height: digit });
    show(canvas, pixels);
    const button = element("button", { type: "button", "aria-label": `A ${labels[i]}` }, canvas);
    button.addEventListener("click", () => attempt(async () => {
      pad.clear();
      await read(pixels);
    }));
    return button;
  }));
}

// ---------------------------------------------------------------- models and pictures

/** What was chosen: the file of the model, its description, class names and picture. */
const own = { model: null, info: null, labels: null, file: null };

function extension({ name }) {
  return name.slice(name.lastIndexOf(".") + 1).toLowerCase();
}

async function take(file) {
  if (file.type.startsWith("image/") || ["jpg", "jpeg", "png", "webp", "avif", "gif"].includes(extension(file))) {
    own.file = file;
    return classify();
  }
  if (extension(file) === "txt" || (extension(file) === "json" && file.size < 1 << 20 && !(await isModel(file)))) {
    return takeLabels(file);
  }
  return takeModel(file);
}

async function isModel(file) {
  return (await file.text()).includes("modelTopology");
}

async function takeModel(file) {
  const bytes = await file.arrayBuffer();
  const options = { file: { name: file.name, bytes }, size: Number(by("side").value), logits: by("logits").checked };
  by("model-card").hidden = true;
  own.info = null;
  own.model = file;
  chooseOwn(null);
  own.info = await ask("load", options, { text: `Reading ${file.name}…`, transfer: [bytes] });
  describe(own.info);
  chooseOwn(file.name);
  if (own.file) await classify();
}

function describe({ name, input, output, parameters, multiplyAdds, arithmetic, scaling, whyScaling, whyNot, notes }) {
  const [, height, width, channels] = input;
  const facts = [
    ["Input", `${height}×${width}×${channels}`],
    ["Outputs", output.slice(1).join("×").replace(/^1×1×/, "")],
    ["Weights", large(parameters)],
    ["Multiply-adds", large(multiplyAdds)],
    ["Arithmetic", arithmetic],
    ...(scaling === null ? [] : [["Pixels x", `${scaling} (${whyScaling})`]]),
    ...(whyNot === null ? [] : [["No classes", whyNot]]),
  ];
  by("model-name").textContent = name;
  by("model-facts").replaceChildren(...facts.flatMap(([term, text]) =>
    [element("dt", {}, term), element("dd", {}, text)]));
  by("model-notes").replaceChildren(...notes.map((note) => element("li", {}, note)));
  by("model-card").hidden = false;
}

/** Makes the model one that can be measured. */
function chooseOwn(name) {
  const select = by("layers-model");
  select.querySelector("[value=own]")?.remove();
  if (name === null) return;
  select.append(element("option", { value: "own" }, name));
  select.value = "own";
}

async function takeLabels(file) {
  const text = await file.text();
  let labels = text.split(/\r?\n/).map((line) => line.trim()).filter(Boolean);
  if (extension(file) === "json") {
    const json = JSON.parse(text);
    // A list, or Keras's class_indices, or imagenet_class_index.json.
    if (Array.isArray(json)) labels = json;
    else {
      labels = [];
      for (const [key, value] of Object.entries(json)) {
        if (Array.isArray(value)) labels[Number(key)] = value.at(-1);
        else if (typeof value === "number") labels[value] = key;
        else labels[Number(key)] = value;
      }
    }
  }
  own.labels = labels;
  if (own.file) await classify();
}

/** A file's bytes if sepconv decodes it (JPEG, PNG: the same pixels everywhere), else what the browser makes of it. */
async function pixels(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const isJpeg = bytes[0] === 0xff && bytes[1] === 0xd8;
  const isPng = bytes[0] === 0x89 && bytes[1] === 0x50;
  if (isJpeg || isPng) return { picture: bytes, by: "sepconv" };
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error(`${file.name}: neither sepconv nor this browser can decode it`);
  });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const { width, height, data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  return { picture: { width, height, data }, by: "this browser" };
}

async function classify() {
  const { file } = own;
  by("picture-card").hidden = false;
  URL.revokeObjectURL(by("picture").src);
  by("picture").src = URL.createObjectURL(file);
  by("picture").alt = file.name;
  by("picture-name").textContent = file.name;
  by("picture-answer").textContent = own.info === null ? "Choose a model, too." : "…";
  by("picture-bars").replaceChildren();
  by("picture-time").textContent = "";
  if (own.info === null) return;
  let decoder, answer;
  try {
    const decoded = await pixels(file);
    decoder = decoded.by;
    const options = { model: "own", picture: decoded.picture, name: file.name, top: 5 };
    answer = await ask("classify", options, { text: `Classifying ${file.name}…` });
  } catch (error) {
    by("picture-card").hidden = true;
    own.file = null;
    throw error;
  }
  const name = ({ index, label }) => label ?? own.labels?.[index] ?? `class ${index}`;
  const text = ({ value }) => answer.isProbable ? percent(value) : number(value, 4);
  const range = Math.max(...answer.top.map(({ value }) => Math.abs(value)), 1e-9);
  const part = ({ value }) => answer.isProbable ? value : value / range;
  by("picture-answer").textContent = `${name(answer.top[0])}, ${text(answer.top[0])}`;
  bars(by("picture-bars"), answer.top.map((top) => ({ name: name(top), part: part(top), text: text(top) })));
  by("picture-time").textContent =
    `In ${milliseconds(answer.milliseconds)}; decoded by ${decoder}.${answer.warning ? ` ${answer.warning}` : ""}`;
}

for (const id of ["model-file", "picture-file", "labels-file"]) {
  by(id).addEventListener("change", ({ target }) => {
    const [file] = target.files;
    if (!file) return;
    const taker = { "model-file": takeModel, "labels-file": takeLabels, "picture-file": take }[id];
    attempt(() => taker(file)).then(() => { target.value = ""; });
  });
}
// The same bytes, used otherwise.
for (const id of ["logits", "side"]) {
  by(id).addEventListener("change", () => { if (own.model) attempt(() => takeModel(own.model)); });
}

addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) document.body.classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const isPicture = (file) => file.type.startsWith("image/");
  // Models first: pictures are classified by them.
  const files = [...event.dataTransfer.files].sort((a, b) => isPicture(a) - isPicture(b));
  attempt(async () => { for (const file of files) await take(file); });
});

// ---------------------------------------------------------------- measurements

by("measure").addEventListener("click", () => attempt(async () => {
  const model = by("layers-model").value;
  const times = await ask("time", { model, milliseconds: 1500 }, { text: "Measuring…" });
  const peak = times.peaks.fused !== null && times.arithmetic !== "unfused" ? times.peaks.fused : times.peaks.unfused;
  by("layers-summary").textContent =
    `${milliseconds(times.milliseconds)} for a picture, ${large(times.multiplyAdds)} multiply-adds, ` +
    `${number(times.gflops)} GFLOP/s: ${percent(times.gflops / peak)} of the peak of this arithmetic (${times.arithmetic}). ` +
    `${times.runs} runs at level ${times.level}, threads: ${times.threads}.`;
  layers(by("layers"), times);
  document.body.dataset.measured = model;
}));

by("compare-form").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const chosen = Object.fromEntries(new FormData(event.target));
    const [side, channels, kernel] = [chosen.side, chosen.channels, chosen.kernel].map(Number);
    const options = { height: side, width: side, channels, kernel, milliseconds: 1000 };
    comparison(by("compare"), await ask("compare", options, { text: "Comparing…" }));
    document.body.dataset.compared = "yes";
  });
});
