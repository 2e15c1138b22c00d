"use strict";
const facts = JSON.parse(document.getElementById("facts").textContent);
const layers = facts.layers;
const tip = document.getElementById("tip");

/* Elements. Text is always set as text, never as markup. */

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}
const html = (name, attributes = {}, ...children) =>
  fill(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

/* Numbers as text. */

const EXACT = "exact";
const figure = (x) => {
  if (x === 0) return "0";
  return Math.abs(x) >= 1e7 || Math.abs(x) < 1e-3 ? x.toExponential(1) : String(Number(x.toPrecision(3)));
};
const percent = (x) => (x === 0 ? "0" : x < 1e-4 ? "<0.01 %" : `${Number((100 * x).toPrecision(2))} %`);
const bytes = (n) =>
  n < 1024 ? `${n} B` : n < 2 ** 20 ? `${(n / 1024).toFixed(1)} KiB` : `${(n / 2 ** 20).toFixed(2)} MiB`;
const ms = (x) => `${x.toFixed(3)} ms`;
const decibels = (error) => (!error ? "" : error.sqnr === null ? EXACT : error.sqnr.toFixed(1));
const range = (r) => `${figure(r[0])} … ${figure(r[1])}`;
const short = (name) => (name.length > 34 ? `…${name.slice(-32)}` : name);
const counted = (n, thing) => `${n} ${thing}${n === 1 ? "" : "s"}`;
const clipped = (a) => (a.below + a.above) / Math.max(a.elements, 1);

/* Plots: series over slots (layers, or groups of them), each a row of marks. */

const MARGIN = { left: 74, right: 10, top: 10, bottom: 30 };

function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= rough);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step);
  return found;
}

function decades(low, high) {
  const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
  const every = Math.max(1, Math.ceil((last - first) / 6));
  const found = [];
  for (let p = first; p <= last; p += every) found.push(10 ** p);
  return found;
}

/* From values to heights: linear from 0 or the least value, or logarithmic from `least`. */
function vertical(values, height, log, least = 0) {
  const used = values.filter((v) => v !== null && (!log || v > 0));
  const bottom = height - MARGIN.bottom;
  const rise = (part) => bottom - part * (bottom - MARGIN.top);
  if (log) {
    const low = least || Math.min(...used), high = Math.max(...used, low * 10);
    const [from, to] = [low, high].map(Math.log10);
    const marks = decades(low, high).filter((m) => m >= low * 0.999 && m <= high * 1.001);
    return { y: (v) => rise((Math.log10(Math.max(v, low)) - from) / (to - from)), marks, floor: bottom };
  }
  const low = Math.min(0, ...used), high = Math.max(...used, 0) || 1;
  const marks = ticks(low, high, 5);
  const y = (v) => rise((v - low) / (high - low));
  return { y, marks, floor: y(0) };
}

function frame(width, height, scale, text) {
  const rows = scale.marks.map((m) => [
    svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: scale.y(m), y2: scale.y(m) }),
    svg("text", { x: MARGIN.left - 8, y: scale.y(m) + 4, "text-anchor": "end" }, text(m)),
  ]);
  return svg("g", {}, rows.flat());
}

const MARKS = {
  bars(series, x, scale, slot, index, count) {
    const share = Math.max(slot * 0.8, 1) / count;
    return series.values.map((v, i) => {
      if (v === null) return null;
      const top = Math.min(scale.y(v), scale.floor), bottom = Math.max(scale.y(v), scale.floor);
      return svg("rect", {
        x: x(i) - (share * count) / 2 + share * index, width: Math.max(share - 0.5, 0.7), y: top,
        height: Math.max(bottom - top, 0), fill: series.color,
      });
    });
  },
  line(series, x, scale) {
    const points = series.values.map((v, i) => (v === null ? null : `${x(i)},${scale.y(v)}`));
    const path = svg("polyline", { class: "line", stroke: series.color, points: points.filter(Boolean).join(" ") });
    return [path, ...MARKS.dots(series, x, scale)];
  },
  dots(series, x, scale) {
    return series.values.map((v, i) =>
      v === null ? null : svg("circle", { cx: x(i), cy: scale.y(v), r: 3.2, fill: series.color }));
  },
  boxes(series, x, scale, slot) {
    const width = Math.min(Math.max(slot * 0.6, 2), 14);
    return series.values.flatMap((v, i) => {
      if (v === null) return [];
      const [least, low, median, high, greatest] = v.map(scale.y);
      return [
        svg("line", { x1: x(i), x2: x(i), y1: least, y2: greatest, stroke: series.color, "stroke-width": 1.5 }),
        svg("rect", { x: x(i) - width / 2, width, y: high, height: Math.max(low - high, 1), fill: series.color }),
        svg("line", { class: "middle", x1: x(i) - width / 2, x2: x(i) + width / 2, y1: median, y2: median }),
      ];
    });
  },
};

function redrawn(host, draw) {
  let width = 0;
  new ResizeObserver(() => {
    const found = Math.floor(host.clientWidth);
    if (found && found !== width) host.replaceChildren(draw((width = found)));
  }).observe(host);
  return host;
}

function legend(series) {
  return html("div", { class: "legend" }, series.map((s) => {
    const mark = html("i");
    mark.style.background = s.color;
    return html("span", {}, mark, s.name);
  }));
}

function plot({ id, title, note, series, slots, tell, format = figure, log = false, least, height = 240 }) {
  const draw = (width) => {
    const scale = vertical(series.flatMap((s) => s.values.flat()), height, log, least);
    const slot = (width - MARGIN.left - MARGIN.right) / slots.length;
    const x = (i) => MARGIN.left + slot * (i + 0.5);
    const guide = svg("line", { class: "guide", y1: MARGIN.top, y2: height - MARGIN.bottom });
    const bars = series.filter((s) => s.mark === "bars").length;
    const found = svg("svg", { "data-plot": id, role: "img", "aria-label": title, height, viewBox: `0 0 ${width} ${height}` },
      frame(width, height, scale, format),
      ticks(0, slots.length - 1, Math.min(slots.length, width / 60)).filter(Number.isInteger).map((i) =>
        svg("text", { x: x(i), y: height - MARGIN.bottom + 16, "text-anchor": "middle" }, String(slots[i].label))),
      guide,
      series.map((s, i) => svg("g", {}, MARKS[s.mark](s, x, scale, slot, i, bars))));
    found.addEventListener("pointermove", (event) => {
      const at = Math.floor((event.clientX - found.getBoundingClientRect().left - MARGIN.left) / slot);
      const i = Math.min(Math.max(at, 0), slots.length - 1);
      fill(guide, { x1: x(i), x2: x(i), style: "opacity:1" }, []);
      show(event, [slots[i].name, ...tell(i)]);
    });
    found.addEventListener("pointerleave", () => { guide.removeAttribute("style"); tip.hidden = true; });
    found.addEventListener("click", (event) => {
      const at = Math.floor((event.clientX - found.getBoundingClientRect().left - MARGIN.left) / slot);
      if (slots[at]) choose(slots[at].label);
    });
    return found;
  };
  return html("section", {}, html("h2", {}, title), html("p", { class: "soft" }, note),
    series.length > 1 ? legend(series) : null, redrawn(html("div"), draw));
}

function show(event, lines) {
  tip.replaceChildren(...lines.map((line) => html("div", {}, line)));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - box.width - 8)}px`;
  tip.style.top = `${event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 10 : event.clientY + 18}px`;
}

/* A histogram: how many values lie where, and what the integers span. */
function histogram(h, height = 170) {
  const layer = layers[h.layer];
  const top = Math.max(...h.counts);
  const draw = (width) => {
    const scale = vertical([top], height, true, 0.7);
    const x = (v) => MARGIN.left + ((v - h.low) / (h.high - h.low || 1)) * (width - MARGIN.left - MARGIN.right);
    const step = (width - MARGIN.left - MARGIN.right) / h.counts.length;
    const outside = (i) => {
      const middle = h.low + ((i + 0.5) / h.counts.length) * (h.high - h.low);
      return middle < h.chosen[0] || middle > h.chosen[1];
    };
    const [first, last] = [Math.max(h.chosen[0], h.low), Math.min(h.chosen[1], h.high)].map(x);
    return svg("svg", { "data-plot": `${h.of}-${h.layer}`, role: "img", "aria-label": `${h.of} of ${layer.name}`, height, viewBox: `0 0 ${width} ${height}` },
      svg("rect", { class: "area", x: first, width: Math.max(last - first, 0), y: MARGIN.top, height: height - MARGIN.top - MARGIN.bottom }),
      frame(width, height, scale, figure),
      h.counts.map((n, i) => n && svg("rect", {
        x: MARGIN.left + step * i, width: Math.max(step - 0.4, 0.6), y: scale.y(n), height: scale.floor - scale.y(n),
        fill: outside(i) ? "var(--bad)" : h.of === "weights" ? "var(--two)" : "var(--one)",
      })).filter(Boolean),
      [first, last].map((at) => svg("line", { class: "bound", x1: at, x2: at, y1: MARGIN.top, y2: height - MARGIN.bottom })),
      ticks(h.low, h.high, width / 80).map((v) =>
        svg("text", { x: x(v), y: height - MARGIN.bottom + 16, "text-anchor": "middle" }, figure(v))));
  };
  const a = layer.activations, w = layer.weights;
  const words = h.of === "weights"
    ? `weights: ${decibels(w)} dB, the result of them alone ${decibels(w.alone)} dB; widest channel ${figure(w.spread)}× the median`
    : `result: chosen ${range(h.chosen)}, steps of ${figure(a.step)}; ${percent(clipped(a))} saturate`;
  return html("figure", {}, html("figcaption", { class: "soft" }, words), redrawn(html("div"), draw));
}

/* The table. */

const timeOf = new Map();
for (const t of facts.times ? facts.times.layers : []) for (const i of t.layers) timeOf.set(i, t);
const togetherWith = (i, kind) => {
  const t = timeOf.get(i);
  if (!t) return ["", null];
  return t.layers[t.layers.length - 1] === i ? [t[kind].toFixed(3), t[kind]] : ["↓", null];
};
const error = (e) => [decibels(e), !e ? null : e.sqnr === null ? Infinity : e.sqnr];
const COLUMNS = [
  ["#", true, (l, i) => [String(i), i], "Number of the layer"],
  ["layer", false, (l) => [short(l.name), l.name], "Name of its result"],
  ["operator", false, (l) => [l.op, l.op], ""],
  ["precision", false, (l) => [l.precision, l.precision], ""],
  ["alone, dB", true, (l) => error(l.isolated), "SQNR where only this layer is quantized"],
  ["whole, dB", true, (l) => error(l.accumulated), "SQNR in the quantized network"],
  ["weights, dB", true, (l) => error(l.weights && l.weights.alone), "SQNR where only its weights are quantized"],
  ["bias", true, (l) => (l.isolated ? [figure(l.isolated.bias), Math.abs(l.isolated.bias)] : ["", null]), "Mean error, in isolation"],
  ["saturate", true, (l) => (l.activations && l.activations.chosen ? [percent(clipped(l.activations)), clipped(l.activations)] : ["", null]), "Values outside of the chosen range"],
  ["observed", true, (l) => (l.activations ? [range(l.activations.observed), l.activations.observed[1] - l.activations.observed[0]] : ["", null]), "Least and greatest float value"],
  ["chosen", true, (l) => (l.activations && l.activations.chosen ? [range(l.activations.chosen), l.activations.chosen[1] - l.activations.chosen[0]] : ["", null]), "What the integers span"],
  ["channels", true, (l) => (l.weights ? [`${figure(l.weights.spread)}×`, l.weights.spread] : ["", null]), "The weights' widest channel, by the median one"],
  ["float", true, (l) => [bytes(l.float_bytes), l.float_bytes], "Constants of the float layer"],
  ["quantized", true, (l) => [bytes(l.quantized_bytes), l.quantized_bytes], "Constants of the quantized layer"],
  ["float, ms", true, (l, i) => togetherWith(i, "float_ms"), "↓: with a layer below"],
  ["quantized, ms", true, (l, i) => togetherWith(i, "quantized_ms"), "↓: with a layer below"],
  ["what to try", false, (l) => [l.advice.map((a) => a.text).join("; "), l.advice.length || null], ""],
];

const rows = layers.map((layer, i) => {
  const cells = COLUMNS.map(([, number, cell]) => cell(layer, i));
  const row = html("tr", {}, cells.map(([text], c) => {
    return html("td", { class: COLUMNS[c][1] ? "number" : null, title: c === 1 ? layer.name : null }, text);
  }));
  return { row, keys: cells.map(([, key]) => key), index: i };
});

function choose(index) {
  for (const { row } of rows) row.classList.remove("chosen");
  rows[index].row.classList.add("chosen");
  rows[index].row.scrollIntoView({ block: "center" });
}

function table() {
  const body = html("tbody", {}, rows.map(({ row }) => row));
  const heads = COLUMNS.map(([name, number, , about], c) => {
    const button = html("button", { type: "button", title: about || null }, name);
    const head = html("th", { scope: "col", class: number ? "number" : null }, button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const order = (a, b) => {
        const [x, y] = [a.keys[c], b.keys[c]];
        if (x === null || y === null) return (x === null) - (y === null) || a.index - b.index;
        return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1) || a.index - b.index;
      };
      body.append(...[...rows].sort(order).map(({ row }) => row));
    });
    return head;
  });
  return html("div", { class: "scroll" }, html("table", {}, html("thead", {}, html("tr", {}, heads)), body));
}

/* The page. */

function tile(value, words, kind) {
  return html("div", { class: "tile" }, html("b", { class: kind }, value), html("span", {}, words));
}

function tiles() {
  const found = facts.outputs.map((o) =>
    tile(o.error.sqnr === null ? EXACT : `${o.error.sqnr.toFixed(1)} dB`, `SQNR of ${short(o.name)}`));
  if (facts.float_bytes && facts.quantized_bytes) {
    const times = facts.float_bytes / facts.quantized_bytes;
    found.push(tile(`${times.toFixed(2)}× ${times < 1 ? "larger" : "smaller"}`, `${bytes(facts.float_bytes)} → ${bytes(facts.quantized_bytes)}`));
  }
  if (facts.times) {
    const t = facts.times, { value, low, high } = t.ratio;
    const slower = high < 1;
    const told = slower ? `${(1 / value).toFixed(2)}× slower` : low > 1 ? `${value.toFixed(2)}× faster` : "as fast as float32";
    found.push(tile(told, `${ms(t.float_ms)} → ${ms(t.quantized_ms)} on ${t.isa}, ${counted(t.threads, "thread")}; ${low.toFixed(2)} to ${high.toFixed(2)} times as fast (95 % interval)`, slower ? "bad" : null));
  }
  const left = layers.filter((l) => l.left !== null).length;
  found.push(tile(String(left), "layers that could not be quantized as asked", left ? "bad" : null));
  return html("div", { class: "tiles" }, found);
}

function advice() {
  const byRule = new Map(Object.keys(facts.titles).map((rule) => [rule, []]));
  for (const a of facts.advice) byRule.get(a.rule).push([null, a.text]);
  layers.forEach((layer, i) => layer.advice.forEach((a) => byRule.get(a.rule).push([i, a.text])));
  const shown = [...byRule].filter(([, found]) => found.length);
  if (!shown.length) return html("p", {}, "Nothing stands out: no rule found anything to change.");
  return html("dl", {}, shown.flatMap(([rule, found]) => [
    html("dt", {}, facts.titles[rule]),
    ...found.slice(0, 6).map(([i, text]) => {
      if (i === null) return html("dd", {}, text);
      const link = html("a", { href: "#layers" }, `${i} ${short(layers[i].name)}`);
      link.addEventListener("click", (event) => { event.preventDefault(); choose(i); });
      return html("dd", {}, link, `: ${text}`);
    }),
    found.length > 6 ? html("dd", { class: "soft" }, `and ${found.length - 6} more: see the table`) : null,
  ]));
}

const ONE = "var(--one)", TWO = "var(--two)";
const byLayer = layers.map((l, i) => ({ label: i, name: `${i} ${l.op} ${l.name}` }));
const sqnr = (e) => (e === null ? null : e.sqnr);
const isolated = layers.map((l) => sqnr(l.isolated)), accumulated = layers.map((l) => sqnr(l.accumulated));

function plots() {
  const found = [plot({
    id: "sqnr", title: "Signal to quantization noise", height: 280, slots: byLayer,
    note: "In dB, by layer; higher is better, 6 dB are one bit. A dot is the layer by itself, given the float network's tensors; the line is the whole quantized network there. Where the line falls and the dot is low, this layer is the cause.",
    series: [
      { name: "accumulated", mark: "line", values: accumulated, color: ONE },
      { name: "the layer in isolation", mark: "dots", values: isolated, color: TWO },
    ],
    tell: (i) => [`in isolation ${decibels(layers[i].isolated) || "not quantized"}`, `accumulated ${decibels(layers[i].accumulated) || "not measured"}`],
  })];
  const pair = [];
  const quantized = layers.map((l) => (l.activations && l.activations.chosen ? clipped(l.activations) * 100 : null));
  pair.push(plot({
    id: "saturation", title: "Saturation", slots: byLayer, format: (v) => `${figure(v)} %`,
    note: quantized.some((v) => v) ? "Float values outside of the chosen range, by layer." : "No value lies outside of the chosen ranges.",
    series: [{ name: "saturate", mark: "bars", values: quantized, color: ONE }],
    tell: (i) => {
      const a = layers[i].activations;
      return a && a.chosen ? [`${percent(clipped(a))}: ${a.below} below, ${a.above} above`, `chosen ${range(a.chosen)}`, `observed ${range(a.observed)}`] : ["not quantized"];
    },
  }));
  const weighty = layers.flatMap((l, i) => (l.weights ? [i] : []));
  if (weighty.length) {
    const channels = weighty.map((i) => layers[i].weights.channels);
    const used = channels.flat().filter((c) => c > 0);
    pair.push(plot({
      id: "channels", title: "Weights’ channel ranges", log: true, least: used.length ? Math.max(Math.min(...used), Math.max(...used) * 1e-6) : 1, slots: weighty.map((i) => byLayer[i]),
      note: "Largest magnitude of each output channel: least, quartiles, greatest.",
      series: [{ name: "channels", mark: "boxes", values: channels, color: TWO }],
      tell: (i) => {
        const w = layers[weighty[i]].weights;
        return [w.channels.map(figure).join(", "), `${w.type}, ${w.per_channel ? "a scale a channel" : "one scale"}`];
      },
    }));
  }
  const sized = layers.flatMap((l, i) => (l.float_bytes ? [i] : []));
  if (sized.length) {
    pair.push(plot({
      id: "sizes", title: "Size", slots: sized.map((i) => byLayer[i]), format: (v) => `${figure(v)} KiB`,
      note: "Constants of each layer.",
      series: [
        { name: "float", mark: "bars", values: sized.map((i) => layers[i].float_bytes / 1024), color: TWO },
        { name: "quantized", mark: "bars", values: sized.map((i) => layers[i].quantized_bytes / 1024), color: ONE },
      ],
      tell: (i) => [`float ${bytes(layers[sized[i]].float_bytes)}`, `quantized ${bytes(layers[sized[i]].quantized_bytes)}`],
    }));
  }
  if (facts.times) {
    const groups = facts.times.layers;
    pair.push(plot({
      id: "times", title: "Time", format: (v) => `${figure(v)} ms`,
      slots: groups.map((t) => ({ label: t.layers[t.layers.length - 1], name: t.layers.map((i) => byLayer[i].name).join(" + ") })),
      note: `Milliseconds of a call; layers that run as one step stand together. One network was timed after the other, so that small differences may be chance. Conversions between floats and integers take ${ms(facts.times.conversions_ms)}.`,
      series: [
        { name: "float", mark: "bars", values: groups.map((t) => t.float_ms), color: TWO },
        { name: "quantized", mark: "bars", values: groups.map((t) => t.quantized_ms), color: ONE },
      ],
      tell: (i) => [`float ${ms(groups[i].float_ms)}`, `quantized ${ms(groups[i].quantized_ms)}`, ...groups[i].reference.map((op) => `${op} runs through numpy`)],
    }));
  }
  return [...found, html("div", { class: "pair grids" }, pair)];
}

function worst() {
  if (!facts.histograms.length) return null;
  return html("section", {}, html("h2", {}, "The worst layers’ values"),
    html("p", { class: "soft" }, "Lowest SQNR in isolation first. Counts are logarithmic; the shaded part is what the integers span, and what lies outside saturates."),
    [...new Set(facts.histograms.map((h) => h.layer))].map((i) => html("article", {},
      html("h3", {}, `${i} ${layers[i].op} ${layers[i].name}: ${decibels(layers[i].isolated)} dB`),
      html("div", { class: "small" }, facts.histograms.filter((h) => h.layer === i).map((h) => histogram(h))))));
}

function left() {
  const found = layers.flatMap((l, i) => (l.left === null ? [] : [html("dt", {}, `${i} ${l.op} ${l.name}`), html("dd", {}, l.left)]));
  return found.length ? html("section", {}, html("h2", {}, "Left in float"), html("dl", {}, found)) : null;
}

document.getElementById("page").append(...[
  html("h1", {}, `${facts.name}, quantized`),
  html("p", { class: "soft" }, `${counted(facts.samples, "sample")}, ${counted(layers.length, "layer")}; Edgewise ${facts.edgewise}`),
  tiles(),
  html("section", {}, html("h2", {}, "What to try"), advice()),
  ...plots(),
  worst(),
  html("section", { id: "layers" }, html("h2", {}, "Layers"), html("p", { class: "soft" }, "Click a heading to sort."), table()),
  left(),
].filter((part) => part !== null));
