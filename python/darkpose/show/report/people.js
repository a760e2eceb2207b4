// SPDX-License-Identifier: Apache-2.0
// The pictures: filters, cards, and the large view with zoom.

const LOW_SCORE = 0.2; // drawn pale below
const color = (values) => `rgb(${values.join(" ")})`;
const dialog = byId("person");
let listed = [], open = -1, box = null;

function overlays(person, decoder) {
  const points = person.points[decoder], scores = person.scores[decoder], truth = person.truth;
  const seen = (p) => p[0] !== null && p[1] !== null;
  const group = svg("g", {}), thick = Math.max(...person.size) / 100;
  if (byId("show-annotated").checked) {
    data.limbs.forEach(([a, b]) => {
      if (truth[a][2] > 0 && truth[b][2] > 0) {
        group.append(svg("line", { class: "true", x1: truth[a][0], y1: truth[a][1], x2: truth[b][0], y2: truth[b][1] }));
      }
    });
    truth.forEach(([x, y, v]) => {
      if (v > 0) group.append(svg("circle", { class: "true ring", cx: x, cy: y, r: 1.3 * thick }));
    });
  }
  if (byId("show-errors").checked) {
    points.forEach((p, k) => {
      if (seen(p) && truth[k][2] > 0) {
        group.append(svg("line", { class: "slip", x1: p[0], y1: p[1], x2: truth[k][0], y2: truth[k][1] }));
      }
    });
  }
  if (byId("show-predicted").checked) {
    const unsure = (...joints) => (joints.some((k) => !(scores[k] > LOW_SCORE)) ? " unsure" : "");
    data.limbs.forEach(([a, b], i) => {
      if (seen(points[a]) && seen(points[b])) {
        group.append(svg("line", {
          class: `limb${unsure(a, b)}`, stroke: color(data.limbColors[i]),
          x1: points[a][0], y1: points[a][1], x2: points[b][0], y2: points[b][1],
        }));
      }
    });
    points.forEach((p, k) => {
      if (!seen(p)) return;
      const spot = svg("circle", { class: `spot${unsure(k)}`, cx: p[0], cy: p[1], r: thick }, svg("title", {}, words(data.names[k])));
      spot.style.fill = color(data.jointColors[k]);
      group.append(spot);
    });
  }
  return group;
}

function picture(person, decoder, label) {
  const [width, height] = person.size;
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    svg("image", { href: person.jpeg, width, height }), overlays(person, decoder));
}

const title = (person) => `${person.name}, ${person.annotation < 0 ? "detected in image " + person.image : "annotation " + person.annotation}`;

function draw() {
  const kind = byId("kind").value, decoder = byId("decoder").value, joint = Number(byId("joint").value) - 1;
  const least = Number(byId("least").value), text = byId("text").value.trim().toLowerCase();
  byId("least-value").textContent = least.toFixed(2);
  listed = data.people.filter((person) =>
    (!kind || person.kind === kind)
    && (joint < 0 || person.truth[joint][2] > 0)
    && person.oks[decoder] >= least
    && (!text || `${person.name} ${person.annotation} ${person.image}`.toLowerCase().includes(text)));
  if (joint >= 0) {
    const error = (person) => person.errors[decoder][joint] ?? Infinity;
    listed.sort((a, b) => error(b) - error(a));
  }
  const cards = listed.map((person, i) => {
    const figure = joint < 0
      ? `OKS ${shown(person.oks[decoder], 3)}`
      : `${words(data.names[joint])}: ${shown(person.errors[decoder][joint], 3)}`;
    const button = html("button", { type: "button", class: "card", title: title(person) },
      picture(person, decoder, `${title(person)}, ${figure}`),
      html("span", { class: `figure ${person.kind}` }, `${figure} (${person.kind})`),
      html("span", {}, `score ${shown(person.score[decoder], 3)}`),
      html("span", {}, title(person)));
    button.addEventListener("click", () => enlarge(i));
    return html("li", {}, button);
  });
  byId("cards").replaceChildren(...cards);
  const order = joint < 0 ? "" : `, the largest error of the ${words(data.names[joint])} first`;
  byId("count").textContent = `${listed.length} of ${data.people.length} people${order}`;
}

// ---- one person, large -------------------------------------------------------------------------

function enlarge(index) {
  open = (index + listed.length) % listed.length;
  const person = listed[open], decoder = byId("decoder").value;
  byId("person-title").textContent =
    `${title(person)}: OKS ${shown(person.oks[decoder], 3)}, score ${shown(person.score[decoder], 3)}, ${words(decoder)}`;
  const rows = data.names.map((name, k) => html("tr", {},
    html("th", { scope: "row" }, words(name)),
    html("td", {}, ["-", "occluded", "visible"][person.truth[k][2]]),
    html("td", {}, shown(person.scores[decoder][k], 2)),
    ...data.decoders.map((one) => html("td", {}, shown(person.errors[one][k], 3)))));
  const heads = ["joint", "label", "score", ...data.decoders.map((one) => words(one))];
  byId("person-table").replaceChildren(html("table", {},
    html("caption", {}, "Errors in shares of the box's longer side"),
    html("thead", {}, html("tr", {}, ...heads.map((head) => html("th", { scope: "col" }, head)))),
    html("tbody", {}, ...rows)));
  byId("person-picture").replaceChildren(picture(person, decoder, byId("person-title").textContent));
  whole();
  if (!dialog.open) dialog.showModal();
}

function whole() {
  const [width, height] = listed[open].size;
  move([0, 0, width, height]);
}

function move(next) {
  box = next;
  const image = byId("person-picture").firstChild;
  const [width, height] = listed[open].size;
  image.setAttribute("viewBox", box.join(" "));
  // Circles grow less than the picture, so that what is under a joint can be seen.
  const radius = Math.max(width, height) / 100 * Math.sqrt(box[2] / width);
  for (const circle of image.querySelectorAll("circle")) {
    circle.setAttribute("r", circle.classList.contains("ring") ? 1.3 * radius : radius);
  }
}

// Zoom about a place given in shares of the view, its middle if none is.
function zoom(factor, x = 0.5, y = 0.5) {
  const [width, height] = listed[open].size;
  const scale = Math.min(1, Math.max(1 / 16, (box[2] / factor) / width)) * width / box[2];
  const next = [box[0] + x * box[2] * (1 - scale), box[1] + y * box[3] * (1 - scale), box[2] * scale, box[3] * scale];
  move(next[2] >= width ? [0, 0, width, height] : next);
}

function place(event) {
  const matrix = byId("person-picture").firstChild.getScreenCTM().inverse();
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix);
  return [(point.x - box[0]) / box[2], (point.y - box[1]) / box[3]];
}

byId("person-picture").addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(event.deltaY < 0 ? 1.25 : 0.8, ...place(event));
}, { passive: false });
byId("person-picture").addEventListener("pointerdown", (event) => {
  let from = place(event);
  const target = byId("person-picture");
  target.setPointerCapture(event.pointerId);
  const drag = (next) => {
    const to = place(next);
    move([box[0] - (to[0] - from[0]) * box[2], box[1] - (to[1] - from[1]) * box[3], box[2], box[3]]);
    from = to;
  };
  target.addEventListener("pointermove", drag);
  target.addEventListener("pointerup", () => target.removeEventListener("pointermove", drag), { once: true });
});
const actions = {
  previous: () => enlarge(open - 1), next: () => enlarge(open + 1),
  closer: () => zoom(1.5), farther: () => zoom(1 / 1.5), whole, close: () => dialog.close(),
};
const keys = { ArrowLeft: "previous", ArrowRight: "next", "+": "closer", "=": "closer", "-": "farther", 0: "whole" };
for (const [id, action] of Object.entries(actions)) byId(id).addEventListener("click", action);
dialog.addEventListener("keydown", (event) => {
  const action = actions[keys[event.key]];
  if (action && !event.ctrlKey && !event.metaKey) { event.preventDefault(); action(); }
});
dialog.addEventListener("close", () => byId("cards").children[open]?.firstChild.focus());

fill(byId("decoder"), data.decoders.map((name) => [name, words(name)]), data.decoders.at(-1));
fill(byId("joint"), [["0", "any"], ...data.names.map((name, k) => [String(k + 1), words(name)])], "0");
byId("filters").addEventListener("input", draw);
byId("filters").addEventListener("submit", (event) => event.preventDefault());
draw();
