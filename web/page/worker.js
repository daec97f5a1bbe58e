// Where everything is computed: the page's own thread stays free.

import { load } from "../pkg/sepconv.js";
import { digest } from "./digest.js";

/** The running call, whose progress is reported, and when that was done last. */
let running = null;
let reported = 0;
let sepconv;
/** By "digits" and "own". */
const models = {};

function progress(done) {
  const now = performance.now();
  if (running === null || now - reported < 50) return;
  reported = now;
  postMessage({ id: running, done });
}

const calls = {
  async start() {
    sepconv = await load({ onProgress: progress });
    models.digits = sepconv.digits();
    const { about, variant } = sepconv;
    const isolated = globalThis.crossOriginIsolated === true;
    return { about, variant, isolated, info: models.digits.info, sheet: sepconv.sheet() };
  },

  /** Reads all digits of the sheet in both arithmetics. */
  check() {
    const { size: [, width], digit, labels, gray, digests } = sepconv.sheet();
    const columns = width / digit;
    return Object.keys(digests).map((arithmetic) => {
      const model = sepconv.digits({ arithmetic });
      const logits = [];
      let right = 0;
      let milliseconds = 0;
      labels.forEach((label, i) => {
        const corner = Math.floor(i / columns) * digit * width + (i % columns) * digit;
        const picture = { height: digit, width: digit, data: new Uint8Array(3 * digit * digit) };
        for (let at = 0; at < picture.data.length; at++) {
          const pixel = Math.floor(at / 3);
          picture.data[at] = gray[corner + Math.floor(pixel / digit) * width + pixel % digit];
        }
        const classified = model.classify(picture, { top: 1 });
        logits.push(...classified.logits);
        right += Number(classified.top[0].label === label);
        milliseconds += classified.milliseconds;
      });
      model.close();
      const same = digest(Float32Array.from(logits)) === digests[arithmetic];
      return { arithmetic, right, of: labels.length, same, milliseconds };
    });
  },

  load({ file, size, logits }) {
    models.own?.close();
    delete models.own;
    const options = { name: file.name, logits };
    const bytes = new Uint8Array(file.bytes);
    try {
      models.own = sepconv.load(bytes, options);
    } catch (error) {
      if (!error.message.includes("any size")) throw error;
      models.own = sepconv.load(bytes, { ...options, size: [size, size] });
    }
    return models.own.info;
  },

  classify({ model, picture, name, top }) {
    return models[model].classify(picture, { name, top });
  },

  time({ model, milliseconds }) {
    return models[model].time({ milliseconds });
  },

  compare(options) {
    return sepconv.compare(options);
  },
};

/** Calls wait for those before them. */
let last = Promise.resolve();

onmessage = ({ data: { id, call, options } }) => {
  last = last.then(async () => {
    running = id;
    try {
      postMessage({ id, result: await calls[call](options) });
    } catch (error) {
      postMessage({ id, error: error.message });
    }
    running = null;
  });
};
