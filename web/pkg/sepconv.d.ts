/** How multiply-adds round: once, the same on every machine; or the product, too. */
export type Arithmetic = "exact" | "unfused";

/** Shape N, H, W, C. */
export type Shape = [number, number, number, number];

/** Something went wrong, and the message says what: a file, a shape, a number. */
export class SepconvError extends Error {}

/** Whether this engine has relaxed simd, and threads in the place where it is called. */
export function support(): { relaxed: boolean; threads: boolean };

export interface LoadOptions {
  /** Threads, 1 to 256. By default all that the machine has; 1 where there can be no others: on a
   * page's own thread, and where `crossOriginIsolated` is false. */
  threads?: number;
  /** Whether to take the build with relaxed simd. By default if the engine has it. */
  relaxed?: boolean;
  /** Called with what is done of a running call, 0 to 1, on the thread that runs it. */
  onProgress?: (done: number) => void;
  /** Where the `.wasm` files and `thread.js` are. By default beside this module. */
  base?: string | URL;
}

/** Compiles the best build for this engine. Its calls block: in browsers, use a worker. */
export function load(options?: LoadOptions): Promise<Sepconv>;

export interface Sepconv {
  /** The build: `simd`, `relaxed`, `simd-threads` or `relaxed-threads`. */
  readonly variant: string;
  readonly about: {
    version: string;
    /** `relaxed_simd`, or `simd128`, which has no fused multiply-adds. */
    level: string;
    hasFma: boolean;
    /** The arithmetic that is used if none is named. */
    arithmetic: Arithmetic;
    threads: number;
  };
  /** The embedded small Xception that knows handwritten digits of 8×8 pixels. */
  digits(options?: { arithmetic?: Arithmetic }): Model;
  /** 100 digits that it has never seen, row by row: gray pixels of the whole sheet, and which they are. */
  sheet(): { size: [number, number]; digit: number; labels: string[]; gray: Uint8Array };
  /** Reads a model: `.keras` or `.h5` of Keras, `.safetensors` of timm or sepconv, `.tflite`, or
   * `model.json` of TensorFlow.js with its weights inside. */
  load(bytes: ArrayBuffer | ArrayBufferView, options?: ModelOptions): Model;
  /** GFLOP/s of multiply-adds in registers, on all threads. */
  peak(options?: { arithmetic?: Arithmetic }): number;
  /** Times a separable layer beside a standard one, in turns. */
  compare(options?: CompareOptions): Comparison;
  /** Ends its threads. Nothing else of it works afterwards. */
  close(): void;
}

export interface ModelOptions {
  /** The file's name, for messages. */
  name?: string;
  arithmetic?: Arithmetic;
  /** Height and width of the input. By default the model's own. */
  size?: [number, number];
  /** Whether outputs that are neither a softmax nor a sigmoid are logits. */
  logits?: boolean;
}

export interface Model {
  readonly info: {
    name: string;
    input: Shape;
    output: Shape;
    parameters: number;
    multiplyAdds: number;
    level: string;
    arithmetic: Arithmetic;
    /** The names of the classes, if the file has them. */
    labels: string[] | null;
    /** How pixels x from 0 to 255 become the input, if pictures do, and how that is known. */
    scaling: string | null;
    whyScaling: string | null;
    /** Why it doesn't classify pictures, if it doesn't. */
    whyNot: string | null;
    notes: string[];
  };
  /** Classifies a JPEG or PNG file, or rows of RGB or RGBA pixels, such as an `ImageData`. */
  classify(
    picture: ArrayBuffer | ArrayBufferView | Pixels,
    options?: { top?: number; name?: string },
  ): Classified;
  /** Computes all outputs of an input, rows of pixels of channels. */
  run(x: Float32Array): { name: string; shape: Shape; values: Float32Array; milliseconds: number }[];
  /** Runs the last input, or random numbers before the first, for about so long. */
  time(options?: { milliseconds?: number }): Times;
  /** Frees it. */
  close(): void;
}

export interface Pixels {
  height: number;
  width: number;
  data: Uint8Array | Uint8ClampedArray;
}

export interface Classified {
  milliseconds: number;
  /** The largest outputs. */
  top: { index: number; label: string | null; value: number }[];
  /** The outputs before softmax or sigmoid, if there is one. */
  logits: Float32Array | null;
  /** The outputs that are shown. */
  values: Float32Array;
  /** Whether these are probabilities. */
  isProbable: boolean;
  /** What is wrong with the picture's file. */
  warning: string | null;
}

export interface Times {
  runs: number;
  milliseconds: number;
  gflops: number;
  multiplyAdds: number;
  threads: number;
  level: string;
  arithmetic: Arithmetic;
  /** GFLOP/s of multiply-adds in registers on all threads: fused ones, if the level has them, and
   * multiplications followed by additions. */
  peaks: { fused: number | null; unfused: number };
  steps: {
    name: string;
    layers: string[];
    kernel: string;
    output: Shape;
    multiplyAdds: number;
    milliseconds: number;
    gflops: number;
    /** Of the time of all steps, 0 to 1. */
    share: number;
  }[];
}

export interface CompareOptions {
  /** 19 by default, as in the middle of Xception. */
  height?: number;
  width?: number;
  /** 728 by default. */
  channels?: number;
  /** As many as channels by default. */
  filters?: number;
  /** Side of the kernel, 3 by default. */
  kernel?: number;
  arithmetic?: Arithmetic;
  milliseconds?: number;
}

export interface Comparison {
  separable: Form;
  standard: Form;
  /** Multiply-adds of the standard layer ÷ those of the separable one. */
  promised: number;
  /** The same of times. */
  obtained: number;
}

export interface Form {
  parameters: number;
  multiplyAdds: number;
  /** The median. */
  milliseconds: number;
  gflops: number;
  kernel: string;
}
