"use strict";
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);

// Tables: a heading sorts its column, missing values last; the search hides the other classes.
for (const button of document.querySelectorAll(".sortable th button")) {
  button.onclick = () => {
    const heading = button.parentElement, row = heading.parentElement, body = heading.closest("table").tBodies[0];
    const column = [...row.cells].indexOf(heading), isNumber = heading.classList.contains("number");
    const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    const lines = [...body.rows].map((line) => {
      const text = line.cells[column].textContent.trim();
      return [isNumber ? parseFloat(text.replace("< ", "")) : text, line];
    });
    const compare = (a, b) => isNumber ? a - b : a.localeCompare(b);
    lines.sort(([a], [b]) => Number.isNaN(a) - Number.isNaN(b) || sign * compare(a, b) || 0);
    body.append(...lines.map(([, line]) => line));
    for (const other of row.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
  };
}
byId("search").oninput = () => {
  const wanted = byId("search").value.trim().toLowerCase(), lines = [...byId("class-table").tBodies[0].rows];
  for (const line of lines) line.hidden = !line.cells[1].textContent.toLowerCase().includes(wanted);
  byId("found").textContent = wanted ? `${lines.filter((line) => !line.hidden).length} of ${lines.length} classes` : "";
};

// Confusion matrix: a canvas that shows `side` by `side` cells from (left, top) on; the cursor is a cell.
const canvas = byId("matrix"), context = canvas.getContext("2d");
const size = data.names.length;
const view = { side: size, left: 0, top: 0, row: 0, column: 0, margin: 0, cell: 1 };
const tables = data.models.map(({ cells }) => {
  const table = Array.from({ length: size }, () => new Map());
  for (let i = 0; i < cells.length; i += 3) table[cells[i]].set(cells[i + 1], cells[i + 2]);
  return table;
});
const videos = tables[0].map((row) => [...row.values()].reduce((sum, count) => sum + count, 0));
const table = () => tables[byId("model").value];
const order = () => data.orders[byId("order").value];
const clamp = (value, most) => Math.max(0, Math.min(most, value));

function draw() {
  const style = getComputedStyle(canvas), colour = (name) => style.getPropertyValue(name), ratio = devicePixelRatio;
  const width = Math.min(canvas.parentElement.clientWidth, 900);
  const isNamed = (0.7 * width) / view.side >= 11;
  view.margin = isNamed ? Math.min(0.3 * width, 240) : 18;
  view.cell = Math.min(56, (width - view.margin) / view.side);
  const extent = view.margin + view.cell * view.side;
  canvas.style.width = canvas.style.height = `${extent}px`;
  canvas.width = canvas.height = extent * ratio;
  canvas.style.touchAction = view.side < size ? "none" : "pan-y";
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const shown = order(), place = new Map(shown.map((label, i) => [label, i]));
  const at = (i, start) => view.margin + (i - start) * view.cell;
  context.textBaseline = "middle";
  context.font = `${Math.min(13, Math.max(10, view.cell * 0.6))}px system-ui, sans-serif`;
  for (let i = view.top; i < view.top + view.side; i++) {
    for (const [column, count] of table()[shown[i]]) {
      const j = place.get(column);
      if (j < view.left || j >= view.left + view.side) continue;
      const share = count / videos[shown[i]], x = at(j, view.left), y = at(i, view.top);
      context.globalAlpha = 0.12 + 0.88 * Math.sqrt(share);
      context.fillStyle = colour(i === j ? "--hit" : "--miss");
      context.fillRect(x, y, Math.max(view.cell - (isNamed ? 1 : 0), 1), Math.max(view.cell - (isNamed ? 1 : 0), 1));
      context.globalAlpha = 1;
      if (view.cell >= 24) {
        context.fillStyle = colour(share > 0.3 ? "--on" : "--ink");
        context.textAlign = "center";
        context.fillText(count, x + view.cell / 2, y + view.cell / 2);
      }
    }
  }
  context.fillStyle = colour("--ink");
  const fit = (name) => {
    const letters = Math.floor((name.length * (view.margin - 8)) / context.measureText(name).width);
    return letters < name.length ? `${name.slice(0, letters - 1)}…` : name;
  };
  for (let k = 0; isNamed && k < view.side; k++) {
    context.textAlign = "right";
    context.fillText(fit(data.names[shown[view.top + k]]), view.margin - 5, at(k + 0.5, 0));
    context.save();
    context.translate(at(k + 0.5, 0), view.margin - 5);
    context.rotate(-Math.PI / 2);
    context.textAlign = "left";
    context.fillText(fit(data.names[shown[view.left + k]]), 0, 0);
    context.restore();
  }
  context.strokeStyle = colour("--line");
  context.strokeRect(view.margin - 0.5, view.margin - 0.5, extent - view.margin, extent - view.margin);
  context.strokeStyle = colour("--ink");
  context.lineWidth = 2;
  context.strokeRect(at(view.column, view.left), at(view.row, view.top), view.cell, view.cell);
}

function moveTo(row, column) {
  view.row = clamp(row, size - 1);
  view.column = clamp(column, size - 1);
  const follow = (start, i) => clamp(Math.max(Math.min(start, i), i - view.side + 1), size - view.side);
  view.top = follow(view.top, view.row);
  view.left = follow(view.left, view.column);
  const label = order()[view.row], predicted = order()[view.column];
  const counts = data.models.map(({ key }, i) => `${key} ${tables[i][label].get(predicted) ?? 0}`).join(", ");
  const what = label === predicted ? "recognised" : `taken for “${data.names[predicted]}”`;
  byId("cell").textContent = `“${data.names[label]}” ${what}: ${counts} of ${videos[label]} videos`;
  draw();
}

function zoom(factor) {
  view.side = Math.round(Math.max(Math.min(size, 5), Math.min(size, view.side * factor)));
  view.top = clamp(view.row - Math.floor(view.side / 2), size - view.side);
  view.left = clamp(view.column - Math.floor(view.side / 2), size - view.side);
  moveTo(view.row, view.column);
}

function cellAt(event) {
  const box = canvas.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top].map((v) => Math.floor((v - view.margin) / view.cell));
  return [clamp(y, view.side - 1) + view.top, clamp(x, view.side - 1) + view.left];
}

let held = null;
canvas.onpointerdown = (event) => { held = cellAt(event); moveTo(...held); };
window.onpointerup = () => { held = null; };
canvas.onpointermove = (event) => {
  const [row, column] = cellAt(event);
  if (held && view.side < size) {
    view.top = clamp(view.top + held[0] - row, size - view.side);
    view.left = clamp(view.left + held[1] - column, size - view.side);
    draw();
  } else moveTo(row, column);
};
canvas.addEventListener("wheel", (event) => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  zoom(event.deltaY < 0 ? 0.8 : 1.25);
}, { passive: false });
const keys = {
  ArrowUp: () => moveTo(view.row - 1, view.column), ArrowDown: () => moveTo(view.row + 1, view.column),
  ArrowLeft: () => moveTo(view.row, view.column - 1), ArrowRight: () => moveTo(view.row, view.column + 1),
  "+": () => zoom(0.5), "-": () => zoom(2), 0: () => zoom(size),
};
canvas.onkeydown = (event) => {
  if (!(event.key in keys) || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  keys[event.key]();
};
byId("closer").onclick = () => zoom(0.5);
byId("farther").onclick = () => zoom(2);
byId("model").onchange = () => moveTo(view.row, view.column);
byId("order").onchange = () => moveTo(view.row, view.column);
for (const button of document.querySelectorAll(".show")) {
  button.onclick = () => {
    const [row, column] = [button.dataset.label, button.dataset.predicted].map((label) => order().indexOf(Number(label)));
    view.row = row;
    view.column = column;
    zoom(20 / view.side);
    canvas.scrollIntoView({ block: "nearest" });
    canvas.focus();
  };
}
new ResizeObserver(draw).observe(canvas.parentElement);
matchMedia("(prefers-color-scheme: dark)").onchange = draw;
