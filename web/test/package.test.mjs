// The package in Node, as test.sh has packed it.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { before, describe, test } from "node:test";

import { load, support } from "sepconv";

import { digest } from "../page/digest.js";

const asset = (name) => readFileSync(new URL(`../../assets/${name}`, import.meta.url));
const built = (variant) =>
  existsSync(new URL(`../node_modules/sepconv/sepconv-${variant}.wasm`, import.meta.url));

/** Every build that is there and runs here: variant, and options that choose it. */
const variants = [
  ["simd", { relaxed: false, threads: 1 }],
  ["relaxed", { relaxed: true, threads: 1 }],
  ["simd-threads", { relaxed: false, threads: 3 }],
  ["relaxed-threads", { relaxed: true, threads: 3 }],
].filter(([variant, { relaxed }]) => built(variant) && (!relaxed || support().relaxed));

test("there is a build to test", () => assert.ok(variants.length > 0, "run web/test.sh"));

/** The pictures of the sheet. */
function digits({ size: [, width], digit, labels, gray }) {
  return labels.map((label, i) => {
    const [top, left] = [Math.floor((i * digit) / width) * digit, (i * digit) % width];
    const data = new Uint8Array(3 * digit * digit);
    for (let y = 0; y < digit; y++) {
      for (let x = 0; x < digit; x++) {
        data.fill(gray[(top + y) * width + left + x], 3 * (y * digit + x), 3 * (y * digit + x + 1));
      }
    }
    return { label, picture: { height: digit, width: digit, data } };
  });
}

for (const [variant, options] of variants) {
  describe(variant, () => {
    let sepconv;
    let done;
    before(async () => {
      sepconv = await load({ ...options, onProgress: (part) => { done = part; } });
    });

    test("says what it is", () => {
      const { about } = sepconv;
      assert.equal(sepconv.variant, variant);
      assert.equal(about.threads, options.threads);
      assert.equal(about.hasFma, about.level === "relaxed_simd");
      assert.equal(about.arithmetic, about.hasFma ? "exact" : "unfused");
      console.log(`${variant}: level ${about.level}, threads ${about.threads}`);
    });

    for (const arithmetic of ["exact", "unfused"]) {
      test(`digits have the bits of other CPUs, arithmetic ${arithmetic}`, () => {
        const model = sepconv.digits({ arithmetic });
        const sheet = sepconv.sheet();
        assert.equal(model.info.arithmetic, arithmetic);
        const logits = [];
        let right = 0;
        for (const { label, picture } of digits(sheet)) {
          const answer = model.classify(picture);
          assert.equal(answer.top.length, 5);
          assert.ok(answer.isProbable && answer.warning === null);
          logits.push(...answer.logits);
          right += Number(answer.top[0].label === label);
        }
        model.close();
        assert.equal(right, 99);
        assert.equal(logits.length, 1000);
        assert.equal(digest(Float32Array.from(logits)), sheet.digests[arithmetic]);
      });
    }

    test("a Keras file from bytes gives what the embedded one gives", () => {
      const [model, embedded] = [
        sepconv.load(asset("digits.keras"), { name: "digits.keras" }),
        sepconv.digits(),
      ];
      const { input, parameters, scaling, whyNot } = model.info;
      assert.deepEqual([input, parameters], [[1, 32, 32, 3], 15114]);
      assert.deepEqual([scaling, whyNot], ["x / 127.5 − 1", null]);
      const x = Float32Array.from({ length: 32 * 32 * 3 }, (_, i) => Math.sin(i));
      const [[a], [b]] = [model.run(x), embedded.run(x)];
      assert.deepEqual(a.shape, [1, 1, 1, 10]);
      assert.deepEqual([...a.values], [...b.values]);
      assert.equal(done, 1);
      const sheet = model.classify(asset("digits.png"), { name: "digits.png" });
      assert.ok(!sheet.isProbable && sheet.logits === null);
      assert.equal(sheet.values.length, 10);
      model.close();
      embedded.close();
    });

    test("outputs are logits if one says so", () => {
      const model = sepconv.load(asset("digits.keras"), { logits: true });
      const { isProbable, values } = model.classify(asset("digits.png"));
      assert.ok(isProbable && Math.abs(values.reduce((a, b) => a + b) - 1) < 1e-6);
      model.close();
    });

    test("pixels of RGBA are those of RGB on black", () => {
      const model = sepconv.digits();
      const rgb = Uint8Array.of(200, 100, 50, 10, 20, 30);
      const rgba = Uint8ClampedArray.of(200, 100, 50, 255, 20, 40, 60, 127.5);
      const values = (data) => model.classify({ height: 1, width: 2, data }).values;
      assert.deepEqual(values(rgba), values(rgb));
      model.close();
    });

    test("times are of every step", () => {
      const model = sepconv.digits();
      const times = model.time({ milliseconds: 50 });
      assert.ok(times.runs >= 1 && times.milliseconds > 0 && times.peaks.unfused > 0);
      assert.equal(times.peaks.fused === null, !sepconv.about.hasFma);
      const sum = (of) => times.steps.reduce((all, step) => all + step[of], 0);
      assert.equal(sum("multiplyAdds"), times.multiplyAdds);
      assert.ok(Math.abs(sum("share") - 1) < 1e-9);
      model.close();
    });

    test("separable and standard layers are compared", () => {
      const compared = sepconv.compare({ height: 8, width: 9, channels: 32, milliseconds: 20 });
      const { separable, standard, promised, obtained } = compared;
      assert.deepEqual([separable.parameters, standard.parameters], [9 * 32 + 32 * 32 + 32, 9 * 32 * 32 + 32]);
      assert.equal(separable.multiplyAdds, 72 * 32 * (9 + 32));
      assert.equal(promised, standard.multiplyAdds / separable.multiplyAdds);
      assert.ok(obtained > 0);
    });

    test("errors say what is wrong, and it goes on", () => {
      const model = sepconv.digits();
      const cut = asset("digits.keras").subarray(0, 100_000);
      const cases = [
        [() => sepconv.load(cut, { name: "cut.keras" }), /^cut\.keras: /],
        [() => sepconv.load(Uint8Array.of(1, 2, 3), { name: "notes.txt" }), /^notes\.txt: expected a \.keras file/],
        [() => sepconv.load("text"), /expected an ArrayBuffer/],
        [() => sepconv.load(asset("digits.keras"), { size: [0, 5] }), /sides of 1 to 2048, got 0×5/],
        [() => sepconv.load(asset("digits.keras"), { arithmetic: "fast" }), /expected exact or unfused, got "fast"/],
        [() => model.classify(Uint8Array.of(1, 2, 3, 4), { name: "a.jpg" }), /^a\.jpg: expected a JPEG or PNG file/],
        [() => model.classify({ height: 2, width: 2, data: new Uint8Array(5) }), /2×2 pixels \(height × width\), got 5/],
        [() => model.run(new Float32Array(7)), /expected 3072 elements for shape \[1, 32, 32, 3\], got 7/],
        [() => model.time({ milliseconds: -1 }), /expected 1 to 60000, got -1/],
        [() => sepconv.compare({ channels: 0 }), /channels: expected 1 to 4096, got 0/],
        [() => sepconv.compare({ channels: 4096, height: 512, width: 512 }), /multiply-adds .* got \d+/],
      ];
      for (const [call, message] of cases) {
        assert.throws(call, { name: "SepconvError", message }, String(call));
      }
      model.close();
      assert.throws(() => model.run(new Float32Array(3072)), /model \d+ is not loaded/);
      assert.equal(sepconv.digits().info.parameters, 15114);
    });

    test("it ends", () => {
      sepconv.close();
      assert.throws(() => sepconv.peak(), /has ended/);
    });
  });
}

test("wrong numbers of threads are refused", async () => {
  await assert.rejects(load({ threads: 0 }), /threads: expected 1 to 256, got 0/);
});
