// Runs a WebAssembly program of the system interface WASI (preview 1) in Node, as cargo's runner:
// node --no-warnings --no-turbo-fast-api-calls checks/levels/wasi.mjs PROGRAM [ARGUMENTS…]
import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const [program, ...args] = process.argv.slice(2);
const wasi = new WASI({
  version: "preview1",
  args: [program, ...args],
  env: process.env,
  preopens: { "/": "/" },
  returnOnExit: true,
});
const module = await WebAssembly.compile(await readFile(program));
process.exitCode = wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject()));
