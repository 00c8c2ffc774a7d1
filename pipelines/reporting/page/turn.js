"use strict";
// Frames lie in one picture: a column for each azimuth, a row for each elevation. Turning is moving that picture.
const tables = [...document.querySelectorAll(".turn")].map(box => ({
  box, image: box.querySelector("img"), label: box.parentElement.querySelector(".angles"), link: box.dataset.link,
  columns: Number(box.dataset.columns), elevations: box.dataset.rows.split(" ").map(Number),
  azimuth: 0, row: Number(box.dataset.row),
}));
function show(table) {
  const column = ((Math.round(table.azimuth / 360 * table.columns) % table.columns) + table.columns) % table.columns;
  table.image.style.transform = `translate(${-100 * column / table.columns}%, ${-100 * table.row / table.elevations.length}%)`;
  const turned = Math.round(360 * column / table.columns), up = Math.round(table.elevations[table.row]), text = `${turned}° around, ${Math.abs(up)}° ${up < 0 ? "below" : "above"}`;
  table.label.textContent = text; table.box.setAttribute("aria-valuenow", turned); table.box.setAttribute("aria-valuetext", text);
}
// The same scene of several runs turns together, so that they can be compared.
function turn(from, azimuth, row) {
  for (const table of tables.filter(other => other.link === from.link)) {
    table.azimuth = azimuth; table.row = Math.min(Math.max(row, 0), table.elevations.length - 1); show(table);
  }
}
for (const table of tables) {
  let start = null;
  table.box.addEventListener("pointerdown", event => {
    start = {x: event.clientX, y: event.clientY, azimuth: table.azimuth, row: table.row};
    table.box.setPointerCapture(event.pointerId); table.box.focus({preventScroll: true});
  });
  table.box.addEventListener("pointermove", event => {
    if (!start) return;
    const width = table.box.clientWidth, rows = Math.round((event.clientY - start.y) / width * 1.6 * table.elevations.length);
    turn(table, start.azimuth - (event.clientX - start.x) / width * 270, start.row + (event.pointerType === "touch" ? 0 : rows));
  });
  for (const end of ["pointerup", "pointercancel"]) table.box.addEventListener(end, () => { start = null; });
  table.box.addEventListener("keydown", event => {
    const step = 360 / table.columns, moves = {ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};
    if (event.key === "Home") turn(table, 0, Number(table.box.dataset.row));
    else if (event.key in moves) turn(table, table.azimuth + moves[event.key][0], table.row + moves[event.key][1]);
    else return;
    event.preventDefault();
  });
  show(table);
}
let closed = [];
addEventListener("beforeprint", () => { closed = [...document.querySelectorAll("details:not([open])")]; closed.forEach(one => { one.open = true; }); });
addEventListener("afterprint", () => { closed.forEach(one => { one.open = false; }); });
