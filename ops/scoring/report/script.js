"use strict";
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);

// Tables: a heading sorts its column, with missing values last; the search hides the other classes.
for (const button of document.querySelectorAll(".sortable th button")) {
  button.onclick = () => {
    const heading = button.parentElement, headings = [...heading.parentElement.cells];
    const column = headings.indexOf(heading), body = heading.closest("table").tBodies[0];
    const isNumber = heading.classList.contains("number");
    const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    const rows = [...body.rows].map((row) => {
      const text = row.cells[column].textContent.trim();
      return [isNumber ? parseFloat(text.replace("< ", "")) : text, row];
    });
    const compare = (a, b) => sign * (isNumber ? a - b : a.localeCompare(b));
    rows.sort(([a], [b]) => Number.isNaN(a) - Number.isNaN(b) || compare(a, b) || 0);
    body.append(...rows.map(([, row]) => row));
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
  };
}
byId("search").oninput = () => {
  const wanted = byId("search").value.trim().toLowerCase(), rows = [...byId("class-table").tBodies[0].rows];
  for (const row of rows) row.hidden = !row.cells[1].textContent.toLowerCase().includes(wanted);
  byId("found").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} classes`;
};

// Confusion matrix: the canvas shows `side` by `side` cells from (top, left) on; (row, column) is the cursor.
const canvas = byId("matrix"), context = canvas.getContext("2d");
const size = data.names.length;
const view = { side: size, top: 0, left: 0, row: 0, column: 0, width: 0, margin: 0, cell: 1 };
const tables = data.models.map(({ cells }) => {
  const table = Array.from({ length: size }, () => new Map()); // of each label: predicted class -> videos
  for (let i = 0; i < cells.length; i += 3) table[cells[i]].set(cells[i + 1], cells[i + 2]);
  return table;
});
const videos = tables[0].map((row) => [...row.values()].reduce((sum, count) => sum + count, 0));
const order = () => data.orders[byId("order").value];
const clamp = (value, most) => Math.max(0, Math.min(most, value));
const xOf = (column) => view.margin + (column - view.left) * view.cell;
const yOf = (row) => view.margin + (row - view.top) * view.cell;

function draw() {
  view.width = Math.min(canvas.parentElement.clientWidth, 900);
  const hasNames = (0.7 * view.width) / view.side >= 11;
  view.margin = hasNames ? Math.min(0.3 * view.width, 240) : 2;
  view.cell = Math.min(56, (view.width - view.margin - 2) / view.side);
  const length = view.margin + view.cell * view.side + 2;
  canvas.style.width = canvas.style.height = `${length}px`;
  canvas.width = canvas.height = length * devicePixelRatio;
  canvas.style.touchAction = view.side < size ? "none" : "pan-y"; // a finger drags a part of the matrix, or the page
  context.scale(devicePixelRatio, devicePixelRatio);
  context.font = `${clamp(view.cell * 0.6, 13)}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const style = getComputedStyle(canvas), colour = (name) => style.getPropertyValue(name);
  drawCells(colour("--fill-hit"), colour("--fill-miss"), colour("--ink"), hasNames ? colour("--strongest") : 1);
  if (hasNames) drawNames();
  context.strokeStyle = colour("--line");
  context.strokeRect(view.margin, view.margin, view.cell * view.side, view.cell * view.side);
  context.strokeStyle = colour("--ink");
  context.lineWidth = 2;
  context.strokeRect(xOf(view.column), yOf(view.row), view.cell, view.cell);
}

function drawCells(hit, miss, ink, strongest) {
  const table = tables[byId("model").value], shown = order(), place = new Map(shown.map((label, i) => [label, i]));
  const extent = view.cell > 10 ? view.cell - 1 : view.cell;
  context.textAlign = "center";
  for (let i = view.top; i < view.top + view.side; i++) {
    for (const [predicted, count] of table[shown[i]]) {
      const j = place.get(predicted);
      if (j < view.left || j >= view.left + view.side) continue;
      context.globalAlpha = strongest * (0.2 + 0.8 * Math.sqrt(count / videos[shown[i]]));
      context.fillStyle = i === j ? hit : miss;
      context.fillRect(xOf(j), yOf(i), extent, extent);
      context.globalAlpha = 1;
      context.fillStyle = ink;
      if (view.cell >= 24) context.fillText(count, xOf(j + 0.5), yOf(i + 0.5));
    }
  }
}

function drawNames() {
  const fit = (name) => {
    let shown = name.slice(0, 80);
    while (context.measureText(shown).width > view.margin - 8) shown = `${shown.slice(0, -2)}…`;
    return shown;
  };
  for (let k = 0; k < view.side; k++) {
    context.textAlign = "right";
    context.fillText(fit(data.names[order()[view.top + k]]), view.margin - 5, yOf(view.top + k + 0.5));
    context.save();
    context.translate(xOf(view.left + k + 0.5), view.margin - 5);
    context.rotate(-Math.PI / 2);
    context.textAlign = "left";
    context.fillText(fit(data.names[order()[view.left + k]]), 0, 0);
    context.restore();
  }
}

function moveTo(row, column) {
  view.row = clamp(row, size - 1);
  view.column = clamp(column, size - 1);
  const follow = (start, i) => Math.max(Math.min(start, i), i - view.side + 1);
  view.top = follow(view.top, view.row);
  view.left = follow(view.left, view.column);
  const label = order()[view.row], predicted = order()[view.column];
  const counts = data.models.map(({ key }, i) => `${key}\u00a0${tables[i][label].get(predicted) ?? 0}`).join(", ");
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
  const index = (pixels) => clamp(Math.floor((pixels - view.margin) / view.cell), view.side - 1);
  return [view.top + index(event.clientY - box.top), view.left + index(event.clientX - box.left)];
}

let held = null; // the cell that is being dragged
canvas.onpointerdown = (event) => { held = cellAt(event); moveTo(...held); };
window.onpointerup = () => { held = null; };
canvas.onpointermove = (event) => {
  const [row, column] = cellAt(event);
  if (!held || view.side === size) return moveTo(row, column);
  view.top = clamp(view.top + held[0] - row, size - view.side);
  view.left = clamp(view.left + held[1] - column, size - view.side);
  draw();
};
const keys = {
  ArrowUp: () => moveTo(view.row - 1, view.column),
  ArrowDown: () => moveTo(view.row + 1, view.column),
  ArrowLeft: () => moveTo(view.row, view.column - 1),
  ArrowRight: () => moveTo(view.row, view.column + 1),
  "+": () => zoom(0.5),
  "-": () => zoom(2),
  0: () => zoom(size),
};
canvas.onkeydown = (event) => {
  if (!(event.key in keys) || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  keys[event.key]();
};
byId("closer").onclick = keys["+"];
byId("farther").onclick = keys["-"];
byId("model").onchange = byId("order").onchange = () => moveTo(view.row, view.column);
for (const button of document.querySelectorAll(".show")) {
  button.onclick = () => {
    view.row = order().indexOf(Number(button.dataset.label));
    view.column = order().indexOf(Number(button.dataset.predicted));
    zoom((0.7 * view.width) / 28 / view.side); // cells large enough for numbers
    canvas.focus();
  };
}
window.onresize = draw; // not a ResizeObserver: drawing changes the height
matchMedia("(prefers-color-scheme: dark)").onchange = draw;
draw();
