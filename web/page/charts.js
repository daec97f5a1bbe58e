// Bars, as tables and grids of the document: they are read aloud, and wrap on a phone.

/** An element with attributes and children; text is text. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "style") Object.entries(value).forEach(([key, part]) => made.style.setProperty(key, part));
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Three significant digits, with thousands apart. */
export function number(value, digits = 3) {
  return value.toLocaleString("en", { maximumSignificantDigits: digits });
}

export function milliseconds(value) {
  if (value >= 1000) return `${number(value / 1000)} s`;
  return value >= 1 || value === 0 ? `${number(value)} ms` : `${number(value * 1000)} µs`;
}

/** 8,420,000,000 as 8.42 billion. */
export function large(value) {
  for (const [unit, name] of [[1e9, "billion"], [1e6, "million"]]) {
    if (value >= unit) return `${number(value / unit)} ${name}`;
  }
  return value.toLocaleString("en");
}

/** A row for each part: name, bar from 0 to 1, text. */
export function bars(into, rows) {
  into.replaceChildren(...rows.flatMap(({ name, part, text }) => [
    element("span", {}, name),
    element("span", { class: "bar", style: { "--part": Math.min(Math.max(part, 0), 1) } }),
    element("span", {}, text),
  ]));
}

/** The steps of a network: time, and speed beside the peaks. */
export function layers(into, { steps, peaks }) {
  const longest = Math.max(...steps.map((step) => step.milliseconds), 1e-9);
  const most = Math.max(peaks.fused ?? 0, peaks.unfused, ...steps.map((step) => step.gflops)) * 1.02;
  const marks = () => [
    element("b", { class: "unfused", style: { "--at": peaks.unfused / most } }),
    ...(peaks.fused === null ? [] : [element("b", { class: "fused", style: { "--at": peaks.fused / most } })]),
  ];
  const track = (name, part, ...more) => element("td", { class: "track" },
    element("div", {}, element("i", { class: name, style: { "--part": part } }), ...more));
  const row = (step) => element("tr", { title: `${step.layers.join(", ")}: ${step.kernel}` },
    element("td", { class: "name" }, step.name),
    track("time", step.milliseconds / longest),
    element("td", { class: "number" }, milliseconds(step.milliseconds)),
    ...(step.multiplyAdds > 0
      ? [track("speed", step.gflops / most, ...marks()),
         element("td", { class: "number" }, `${number(step.gflops)} GFLOP/s`)]
      : [element("td", { class: "track" }), element("td", { class: "number" }, "")]));
  const heads = ["Step", "Time", "", "Speed", ""].map((text) => element("th", { scope: "col" }, text));
  const legend = element("div", { class: "legend" },
    element("span", { class: "time" }, "time"),
    element("span", { class: "speed" }, "speed"),
    element("span", { class: "unfused" }, `peak without FMA, ${number(peaks.unfused)} GFLOP/s`),
    ...(peaks.fused === null ? [] : [element("span", { class: "fused" }, `peak with FMA, ${number(peaks.fused)} GFLOP/s`)]));
  const table = element("table", { class: "chart" },
    element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...steps.map(row)));
  into.replaceChildren(legend, table);
}

/** A separable layer and a standard one. */
export function comparison(into, { separable, standard, promised, obtained }) {
  const longest = Math.max(separable.milliseconds, standard.milliseconds);
  const rows = [["separable", separable], ["standard", standard]].map(([name, form]) => ({
    name,
    part: form.milliseconds / longest,
    text: milliseconds(form.milliseconds),
  }));
  const grid = element("div", { class: "bars" });
  bars(grid, rows);
  into.replaceChildren(
    element("p", { class: "big" }, `${number(obtained)} times as fast`),
    grid,
    element("p", { class: "hint" },
      `It does ${number(promised)} times fewer multiply-adds: ${large(separable.multiplyAdds)} instead of ` +
      `${large(standard.multiplyAdds)}, with ${large(separable.parameters)} weights instead of ` +
      `${large(standard.parameters)}. The separable layer reaches ${number(separable.gflops)} GFLOP/s, the standard one ` +
      `${number(standard.gflops)}.`));
}
