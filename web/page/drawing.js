// A pad to draw a digit on, and the 8×8 pixels that the network sees of it.

/** The grid that strokes are drawn on, and the blocks of it that are counted: as the network's digits were made. */
const GRID = 32;
const SIDE = 8;
const BLOCK = GRID / SIDE;

/**
 * 8×8 pixels of gray from a grid of ink: what is inked is cut out, scaled to the height of a grid of 32×32, and the
 * inked cells of each 4×4 are counted.
 */
export function reduce(ink, grid) {
  let [top, left, bottom, right] = [grid, grid, -1, -1];
  ink.forEach((inked, i) => {
    if (!inked) return;
    const [y, x] = [Math.floor(i / grid), i % grid];
    [top, left] = [Math.min(top, y), Math.min(left, x)];
    [bottom, right] = [Math.max(bottom, y), Math.max(right, x)];
  });
  const gray = new Uint8Array(SIDE * SIDE);
  if (bottom < 0) return gray;
  const height = bottom - top + 1;
  // A narrow one, such as a 1, isn't made wide.
  const width = Math.max(right - left + 1, height);
  const start = (left + right + 1 - width) / 2;
  for (let y = 0; y < GRID; y++) {
    for (let x = 0; x < GRID; x++) {
      const fromY = Math.floor(top + ((y + 0.5) / GRID) * height);
      const fromX = Math.floor(start + ((x + 0.5) / GRID) * width);
      const inside = fromX >= 0 && fromX < grid;
      if (inside && ink[fromY * grid + fromX]) gray[Math.floor(y / BLOCK) * SIDE + Math.floor(x / BLOCK)]++;
    }
  }
  return gray.map((count) => Math.round((count * 255) / BLOCK ** 2));
}

/** Rows of RGB from gray pixels. */
export function picture(gray) {
  const data = Uint8Array.from({ length: 3 * gray.length }, (_, i) => gray[Math.floor(i / 3)]);
  return { height: SIDE, width: SIDE, data };
}

/** Shows 8×8 gray pixels on a canvas of that size. */
export function show(canvas, gray) {
  const image = new ImageData(SIDE, SIDE);
  gray.forEach((level, i) => image.data.set([level, level, level, 255], 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Lets people draw on a canvas; `onChange` gets 8×8 pixels, or null when it is empty. */
export class Pad {
  #canvas;
  #context;
  #onChange;
  #from = null;

  constructor(canvas, onChange) {
    this.#canvas = canvas;
    this.#onChange = onChange;
    this.#context = canvas.getContext("2d", { willReadFrequently: true });
    Object.assign(this.#context, { lineCap: "round", lineJoin: "round", lineWidth: 32, strokeStyle: "#fff" });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#from = this.#at(event);
      this.#stroke(this.#from);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (this.#from !== null) this.#stroke(this.#at(event));
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, () => { this.#from = null; });
    }
  }

  #at(event) {
    const box = this.#canvas.getBoundingClientRect();
    const scale = this.#canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  #stroke(to) {
    this.#context.beginPath();
    this.#context.moveTo(...this.#from);
    this.#context.lineTo(...to);
    this.#context.stroke();
    this.#from = to;
    this.#onChange(this.pixels());
  }

  pixels() {
    const { width, height } = this.#canvas;
    const { data } = this.#context.getImageData(0, 0, width, height);
    const ink = Uint8Array.from({ length: width * height }, (_, i) => Number(data[4 * i + 3] >= 128));
    return ink.includes(1) ? reduce(ink, width) : null;
  }

  clear() {
    this.#context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    this.#onChange(null);
  }
}
