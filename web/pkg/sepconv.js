// Models in WebAssembly. sepconv.d.ts describes what is exported; ../src/boundary.rs is the other side.

import { builds } from "./builds.js";

const isNode = typeof process !== "undefined" && Boolean(process.versions?.node);

/** The bytes of a stack of a thread. That of the first is made by the linker. */
const STACK = 1 << 20;
const PAGE = 1 << 16;
/** Pages of the memory that threads share: the most is that of build.sh. */
const SHARED_PAGES = { initial: 1 << 10, maximum: 1 << 15 };

/** A function of one relaxed multiply-add, of zeros. */
const RELAXED_SIMD = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, // magic, version
  1, 5, 1, 96, 0, 1, 123, // type: [] → [v128]
  3, 2, 1, 0, // a function of it
  10, 19, 1, 17, 0, // its code: no locals
  65, 0, 253, 15, 65, 0, 253, 15, 65, 0, 253, 15, // three times i32.const 0, i8x16.splat
  253, 133, 2, 11, // f32x4.relaxed_madd, end
);

/** Something went wrong, and the message says what: a file, a shape, a number. */
export class SepconvError extends Error {
  name = "SepconvError";
}

/** What this engine runs: whether it has relaxed simd, and threads here. */
export function support() {
  const relaxed = WebAssembly.validate(RELAXED_SIMD);
  // A page's own thread may not wait for others.
  const threads = isNode ||
    (globalThis.crossOriginIsolated === true && typeof document === "undefined");
  return { relaxed, threads };
}

async function hardwareThreads() {
  if (!isNode) return navigator.hardwareConcurrency || 1;
  return (await import("node:os")).availableParallelism();
}

/** Reads and compiles a file beside this one. */
async function compile(url) {
  if (isNode && url.protocol === "file:") {
    const { readFile } = await import("node:fs/promises");
    return WebAssembly.compile(await readFile(url));
  }
  const response = await fetch(url);
  if (!response.ok) throw new SepconvError(`${url}: ${response.status} ${response.statusText}`);
  return WebAssembly.compile(await response.arrayBuffer());
}

/** What a module imports. `performance.timeOrigin` makes the clocks of workers one. */
export function imports(memory, onProgress, onPanic) {
  const now = () => performance.timeOrigin + performance.now();
  return {
    sepconv: { now, progress: onProgress, panicked: onPanic },
    ...(memory && { env: { memory } }),
  };
}

/** Text at an address. Decoders take no shared memory, so it is a copy that is decoded. */
export function text(memory, start, bytes) {
  return new TextDecoder().decode(new Uint8Array(memory.buffer, start, bytes).slice());
}

/** The best build that is there, for a number of threads. */
function choose(relaxed, threads) {
  const suffix = threads > 1 ? "-threads" : "";
  const names = relaxed ? ["relaxed", "simd"] : ["simd"];
  return names.map((name) => name + suffix).find((name) => builds.includes(name));
}

export async function load({ threads, relaxed, onProgress = () => {}, base = import.meta.url } = {}) {
  const can = support();
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 256)) {
    throw new SepconvError(`threads: expected 1 to 256, got ${threads}`);
  }
  if (threads > 1 && !can.threads) {
    throw new SepconvError("threads: they need a worker of a page that is cross-origin isolated");
  }
  let count = threads ?? (can.threads ? await hardwareThreads() : 1);
  const useRelaxed = relaxed ?? can.relaxed;
  let variant = choose(useRelaxed, count);
  if (variant === undefined && threads === undefined) {
    count = 1;
    variant = choose(useRelaxed, count);
  }
  if (variant === undefined) {
    throw new SepconvError(`no build for ${count} threads; there are ${builds.join(", ")}`);
  }
  const module = await compile(new URL(`sepconv-${variant}.wasm`, base));
  const sepconv = new Sepconv(variant, onProgress);
  await sepconv.start(module, count, base);
  return sepconv;
}

class Sepconv {
  #exports;
  #memory;
  #onProgress;
  #panic = null;
  #workers = [];

  constructor(variant, onProgress) {
    this.variant = variant;
    this.#onProgress = onProgress;
  }

  /** Begins to run, on so many threads. */
  async start(module, threads, base) {
    const shared = threads > 1 ? new WebAssembly.Memory({ ...SHARED_PAGES, shared: true }) : null;
    const panicked = (start, bytes) => { this.#panic = text(this.#memory, start, bytes); };
    const done = (part) => this.#onProgress(part);
    const instance = await WebAssembly.instantiate(module, imports(shared, done, panicked));
    this.#exports = instance.exports;
    this.#memory = shared ?? instance.exports.memory;
    if (shared) await this.#startThreads(module, shared, threads, base);
    this.about = this.#call({ call: "about" }).answer;
  }

  /** Starts workers, then the pool, whose first thread is this one. */
  async #startThreads(module, memory, threads, base) {
    const { __tls_size, __tls_align, sepconv_thread_memory } = this.#exports;
    const url = new URL("thread.js", base);
    const spawn = isNode ? (await import("node:worker_threads")).Worker : Worker;
    const ready = [];
    for (let i = 1; i < threads; i++) {
      const tls = __tls_size.value + __tls_align.value;
      const start = sepconv_thread_memory(STACK + tls);
      if (start === 0) throw new SepconvError(`no memory for thread ${i + 1} of ${threads}`);
      const worker = new spawn(url, { type: "module", name: `sepconv ${i}` });
      this.#workers.push(worker);
      ready.push(new Promise((resolve, reject) => {
        const failed = (error) => reject(new SepconvError(`thread ${i + 1}: ${error.message}`));
        // Once it waits for work it keeps no program from ending.
        const begun = () => { worker.unref?.(); resolve(); };
        if (isNode) worker.once("message", begun).once("error", failed);
        else { worker.onmessage = begun; worker.onerror = failed; }
      }));
      worker.postMessage({ module, memory, stack: start + STACK, tls: start + STACK });
    }
    await Promise.all(ready);
    this.#call({ call: "threads", count: threads });
  }

  /** Ends its threads. Nothing else of it works afterwards. */
  close() {
    this.#workers.forEach((worker) => worker.terminate());
    this.#workers = [];
    this.#panic = "closed";
  }

  #send(buffer, bytes) {
    const start = this.#exports.sepconv_reserve(buffer, bytes.length);
    if (start === 0) throw new SepconvError(`no memory for ${bytes.length} bytes`);
    new Uint8Array(this.#memory.buffer, start, bytes.length).set(bytes);
  }

  #receive(buffer) {
    const start = this.#exports.sepconv_start(buffer);
    const bytes = this.#exports.sepconv_length(buffer);
    return new Uint8Array(this.#memory.buffer, start, bytes).slice();
  }

  /** Asks, with bytes that go with the request. */
  #call(request, bytes = new Uint8Array()) {
    if (this.#panic !== null) throw new SepconvError(`sepconv has ended: ${this.#panic}`);
    let done;
    try {
      this.#send(0, new TextEncoder().encode(JSON.stringify(request)));
      this.#send(1, bytes);
      done = this.#exports.sepconv_call();
    } catch (error) {
      if (error instanceof SepconvError) throw error;
      // Memory is as the trap left it.
      this.#panic ??= error.message;
      throw new SepconvError(`sepconv has ended: ${this.#panic}`, { cause: error });
    }
    const answer = new TextDecoder().decode(this.#receive(2));
    if (!done) throw new SepconvError(answer);
    return { answer: JSON.parse(answer), bytes: this.#receive(3) };
  }

  digits({ arithmetic } = {}) {
    return new Model(this.#caller(), this.#call({ call: "digits", arithmetic }).answer);
  }

  sheet() {
    const { answer, bytes } = this.#call({ call: "sheet" });
    return { ...answer, gray: bytes };
  }

  load(bytes, { name = "model", arithmetic, size, logits = false } = {}) {
    const request = { call: "load", name, arithmetic, size, logits };
    return new Model(this.#caller(), this.#call(request, asBytes(bytes)).answer);
  }

  peak({ arithmetic } = {}) {
    return this.#call({ call: "peak", arithmetic }).answer;
  }

  compare({ height = 19, width = 19, channels = 728, filters = channels, kernel = 3,
            arithmetic, milliseconds = 1000 } = {}) {
    const layer = { height, width, channels, filters, kernel };
    return this.#call({ call: "compare", ...layer, arithmetic, milliseconds }).answer;
  }

  #caller() {
    return (request, bytes) => this.#call(request, bytes);
  }
}

class Model {
  #call;
  #model;

  constructor(call, { model, ...info }) {
    this.#call = call;
    this.#model = model;
    this.info = info;
  }

  classify(picture, { top = 5, name = "picture" } = {}) {
    const isFile = picture instanceof ArrayBuffer || ArrayBuffer.isView(picture);
    const size = isFile ? undefined : [picture.height, picture.width];
    const bytes = isFile ? asBytes(picture) : rgb(picture);
    const request = { call: "classify", model: this.#model, name, size, top };
    const { answer: { outputs, hasLogits, ...answer }, bytes: sent } = this.#call(request, bytes);
    const numbers = new Float32Array(sent.buffer);
    const shown = answer.top.length;
    return {
      ...answer,
      top: answer.top.map((entry, i) => ({ ...entry, value: numbers[i] })),
      values: numbers.slice(shown, shown + outputs),
      logits: hasLogits ? numbers.slice(shown + outputs) : null,
    };
  }

  run(x) {
    const { answer, bytes } = this.#call({ call: "run", model: this.#model }, asBytes(x));
    let start = 0;
    return answer.map(({ name, shape, milliseconds }) => {
      const length = shape.reduce((a, b) => a * b);
      const values = new Float32Array(bytes.buffer, start, length);
      start += 4 * length;
      return { name, shape, milliseconds, values };
    });
  }

  time({ milliseconds = 1000 } = {}) {
    return this.#call({ call: "time", model: this.#model, milliseconds }).answer;
  }

  close() {
    this.#call({ call: "close", model: this.#model });
  }
}

function asBytes(data) {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  throw new SepconvError(`bytes: expected an ArrayBuffer or a view of one, got ${typeof data}`);
}

/** Rows of RGB from those of RGB or RGBA. What is transparent becomes black. */
function rgb({ height, width, data }) {
  const pixels = height * width;
  if (data?.length === 3 * pixels) return asBytes(data);
  if (data?.length !== 4 * pixels) {
    const message = `expected 3 or 4 bytes for each of ${height}×${width} pixels (height × width)`;
    throw new SepconvError(`picture: ${message}, got ${data?.length}`);
  }
  const bytes = new Uint8Array(3 * pixels);
  for (let from = 0, to = 0; to < bytes.length; from += 4, to += 3) {
    const opacity = data[from + 3] / 255;
    for (let channel = 0; channel < 3; channel++) {
      bytes[to + channel] = Math.round(data[from + channel] * opacity);
    }
  }
  return bytes;
}
