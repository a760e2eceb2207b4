// SPDX-License-Identifier: Apache-2.0
// Curves and calibration as SVG. All text goes in as text: nothing here makes elements of strings.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

function make(namespace, name, attributes, ...children) {
  const element = namespace ? document.createElementNS(namespace, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  element.append(...children);
  return element;
}
const html = (name, attributes, ...children) => make(null, name, attributes, ...children);
const svg = (name, attributes, ...children) => make("http://www.w3.org/2000/svg", name, attributes, ...children);
const shown = (value, digits) => (value === null || value === undefined ? "-" : value.toFixed(digits));
const words = (name) => name.replaceAll("_", " ");

function fill(select, entries, chosen) {
  select.replaceChildren(...entries.map(([value, text]) => html("option", { value }, text)));
  select.value = chosen;
}

const WIDTH = 560, HEIGHT = 340, LEFT = 44, RIGHT = 12, TOP = 10, BOTTOM = 40;
const across = (share) => LEFT + share * (WIDTH - LEFT - RIGHT);
const down = (share) => HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);

function frame(xTitle, yTitle, xMax) {
  const root = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}` });
  for (let i = 0; i <= 5; i++) {
    const y = down(i / 5);
    root.append(
      svg("line", { class: "grid", x1: across(0), x2: across(1), y1: y, y2: y }),
      svg("text", { class: "axis", x: LEFT - 6, y: y + 4, "text-anchor": "end" }, (i / 5).toFixed(1)),
    );
  }
  const steps = xMax === 0.3 ? 6 : 5;
  for (let i = 0; i <= steps; i++) {
    const x = across(i / steps);
    root.append(
      svg("line", { class: "grid", x1: x, x2: x, y1: down(0), y2: down(1) }),
      svg("text", { class: "axis", x, y: down(0) + 16, "text-anchor": "middle" }, String(Number((xMax * i / steps).toFixed(3)))),
    );
  }
  root.append(
    svg("text", { class: "axis", x: across(0.5), y: HEIGHT - 6, "text-anchor": "middle" }, xTitle),
    svg("text", { class: "axis", transform: `translate(12 ${down(0.5)}) rotate(-90)`, "text-anchor": "middle" }, yTitle),
  );
  return root;
}

// lines: { name, color, dashed, values }, values at data.curve.at
function curveChart(place, legend, label, lines, xMax) {
  const at = data.curve.at, last = at.findLastIndex((x) => x <= xMax + 1e-9);
  const root = frame("error, in shares of the box's longer side", "share of joints", xMax);
  root.setAttribute("tabindex", "0");
  root.setAttribute("role", "img");
  const paths = lines.map((line) => {
    const points = at.slice(0, last + 1).map((x, i) => `${across(x / xMax)},${down(line.values[i] ?? 0)}`);
    return svg("polyline", {
      class: "curve", points: points.join(" "), stroke: line.color, "stroke-dasharray": line.dashed ? "6 3" : "none",
    });
  });
  const reading = svg("line", { class: "reading", y1: down(0), y2: down(1) });
  root.append(...paths, reading);
  const buttons = lines.map((line, i) => {
    const sample = svg("svg", { viewBox: "0 0 24 10", "aria-hidden": "true" }, svg("line", {
      x1: 0, x2: 24, y1: 5, y2: 5, stroke: line.color, "stroke-width": 3, "stroke-dasharray": line.dashed ? "6 3" : "none",
    }));
    const button = html("button", { type: "button", "aria-pressed": "false" }, sample, html("span"));
    button.addEventListener("click", () => emphasize(button.getAttribute("aria-pressed") === "true" ? -1 : i));
    return button;
  });
  legend.replaceChildren(...buttons.map((button) => html("li", {}, button)));

  function emphasize(index) {
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === index)));
    paths.forEach((path, i) => path.classList.toggle("faded", index >= 0 && i !== index));
  }
  let position = Math.min(last, 10);
  function read(index) {
    position = Math.max(0, Math.min(last, index));
    const x = across(at[position] / xMax);
    reading.setAttribute("x1", x);
    reading.setAttribute("x2", x);
    const values = lines.map((line) => `${words(line.name)} ${shown(line.values[position], 3)}`);
    buttons.forEach((button, i) => { button.lastChild.textContent = values[i]; });
    root.setAttribute("aria-label", `${label}, share of joints within ${at[position]}: ${values.join(", ")}`);
  }
  root.addEventListener("pointermove", (event) => {
    const box = root.getBoundingClientRect();
    const share = ((event.clientX - box.left) * WIDTH / box.width - LEFT) / (WIDTH - LEFT - RIGHT);
    read(Math.round(share * last));
  });
  root.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) { event.preventDefault(); read(position + step); }
  });
  read(position);
  place.replaceChildren(root);
}

const DECODER_COLORS = ["#d55e00", "#e69f00", "#3b8ed0", "#009e73", "#cc79a7"];

function jointLines(decoder) {
  const parts = [...new Set(data.names.map(part))];
  return data.names.map((name, k) => ({
    name,
    color: `hsl(${Math.round(360 * parts.indexOf(part(name)) / parts.length)} 70% 48%)`,
    dashed: name.startsWith("right"),
    values: data.curve.values[decoder][k + 1],
  }));
}
const part = (name) => name.replace(/^(left|right)_/, "");

function drawCurves() {
  const xMax = Number(byId("curve-range").value), joint = Number(byId("curve-joint").value);
  const decoder = byId("curve-decoder").value;
  const which = joint ? words(data.names[joint - 1]) : "all joints";
  byId("decoder-caption").textContent = `Decoders, ${which}`;
  byId("joint-caption").textContent = `Joints, ${words(decoder)}; dashed: right`;
  curveChart(byId("decoder-chart"), byId("decoder-legend"), `Decoders, ${which}`, data.decoders.map((name, i) => ({
    name, color: DECODER_COLORS[i % DECODER_COLORS.length], dashed: false, values: data.curve.values[name][joint],
  })), xMax);
  curveChart(byId("joint-chart"), byId("joint-legend"), `Joints by ${words(decoder)}`, jointLines(decoder), xMax);
}

// bins: { low, high, count, score, oks }
function calibrationChart(place, label, bins, yTitle) {
  const root = frame("score", yTitle, 1);
  const most = Math.max(1, ...bins.map((bin) => bin.count));
  for (const bin of bins) {
    const height = 0.25 * bin.count / most;
    root.append(svg("rect", {
      class: "count", x: across(bin.low) + 2, width: across(bin.high) - across(bin.low) - 4,
      y: down(height), height: down(0) - down(height),
    }));
  }
  root.append(svg("line", { class: "reading", x1: across(0), x2: across(1), y1: down(0), y2: down(1) }));
  for (const bin of bins) {
    if (!bin.count) continue;
    const radius = 3 + 7 * Math.sqrt(bin.count / most);
    root.append(svg("circle", {
      class: "point", cx: across(Math.min(1, Math.max(0, bin.score))), cy: down(bin.oks), r: radius,
    }, svg("title", {}, `${bin.count} with a mean score of ${shown(bin.score, 3)}: ${shown(bin.oks, 3)}`)));
  }
  root.setAttribute("role", "img");
  root.setAttribute("aria-label", `${label}; the table below has the same numbers`);
  place.replaceChildren(root);
}

fill(byId("curve-joint"), [["0", "all joints"], ...data.names.map((name, k) => [String(k + 1), words(name)])], "0");
fill(byId("curve-decoder"), data.decoders.map((name) => [name, words(name)]), data.decoders.at(-1));
for (const id of ["curve-range", "curve-joint", "curve-decoder"]) byId(id).addEventListener("change", drawCurves);
drawCurves();
calibrationChart(byId("people-calibration"), "Mean OKS of people by their score", data.calibration.people, "mean OKS");
calibrationChart(byId("joint-calibration"), "Mean similarity of joints by their score", data.calibration.joints, "mean similarity");

// ---- tables that can be sorted -----------------------------------------------------------------

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = html("button", { type: "button" }, head.textContent);
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.setAttribute("aria-sort", other === head ? (up ? "ascending" : "descending") : "none");
      const value = (row) => {
        const text = row.cells[column].textContent, number = Number.parseFloat(text);
        return Number.isNaN(number) ? text : number;
      };
      const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
      const rows = [...body.rows].sort((a, b) => (up ? 1 : -1) * order(value(a), value(b)));
      body.append(...rows);
    });
  });
}
