// A thread of the pool: a worker of its own, which shares the memory of the one that started it.

import { imports, text } from "./sepconv.js";

const isNode = typeof process !== "undefined" && Boolean(process.versions?.node);
const port = isNode ? (await import("node:worker_threads")).parentPort : globalThis;

function begin({ module, memory, stack, tls }) {
  const panicked = (start, bytes) => console.error(`sepconv: ${text(memory, start, bytes)}`);
  const { exports } = new WebAssembly.Instance(module, imports(memory, () => {}, panicked));
  exports.__stack_pointer.value = stack;
  const align = exports.__tls_align.value || 1;
  exports.__wasm_init_tls(Math.ceil(tls / align) * align);
  port.postMessage("ready");
  exports.sepconv_thread();
}

if (isNode) port.once("message", begin);
else globalThis.onmessage = (event) => begin(event.data);
