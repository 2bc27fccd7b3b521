"use strict";
// Sorts and filters the tables of report.html, shows pictures, and picks out curves.
const table = document.querySelector("#runs");
const body = table.tBodies[0];
const keys = [...table.tHead.rows[0].cells].map((cell) => cell.dataset.key);
const rows = [...body.rows];

const textOf = (row, column) => row.cells[column].dataset.text ?? row.cells[column].textContent.trim();
const numberOf = (row, column) => {
  const value = row.cells[column].dataset.value ?? textOf(row, column);
  return value.trim() === "" || Number.isNaN(Number(value)) ? null : Number(value);
};

function compare(column) {
  const numeric = rows.every((row) => textOf(row, column) === "-" || numberOf(row, column) !== null);
  return (left, right) => {
    if (numeric) return numberOf(left, column) - numberOf(right, column);
    return textOf(left, column).localeCompare(textOf(right, column), "en", { numeric: true });
  };
}

function sort(column) {
  const head = table.tHead.rows[0].cells[column];
  const descending = head.getAttribute("aria-sort") === "ascending";
  for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const order = compare(column);
  const missing = (row) => textOf(row, column) === "-";
  rows.sort((a, b) => missing(a) - missing(b) || (missing(a) ? 0 : descending ? order(b, a) : order(a, b)));
  body.append(...rows);
}

const TERM = /^([\w.-]+)(!=|<=|>=|=|<|>)(.+)$/;
const glob = (pattern) =>
  new RegExp(`^${pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&").replace(/\*/g, ".*").replace(/\?/g, ".")}$`, "i");
const COMPARE = { "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b };

// A test of a row for each term; a term of an unknown column is reported instead.
function testOf(term, faults) {
  const found = TERM.exec(term);
  if (!found) return (row) => row.textContent.toLowerCase().includes(term.toLowerCase());
  const [, key, sign, wanted] = found;
  const exact = keys.indexOf(key);
  const column = exact >= 0 ? exact : keys.findIndex((name) => name.endsWith(`.${key}`));
  if (column < 0) {
    faults.push(`no column ${key}; there are ${keys.join(", ")}`);
    return () => true;
  }
  if (sign in COMPARE) {
    const limit = Number(wanted);
    return (row) => numberOf(row, column) !== null && COMPARE[sign](numberOf(row, column), limit);
  }
  const items = wanted.split(",");
  const equals = (row) =>
    items.some(
      (item) =>
        glob(item).test(textOf(row, column)) ||
        (numberOf(row, column) !== null && item !== "" && numberOf(row, column) === Number(item)),
    );
  return sign === "=" ? equals : (row) => !equals(row);
}

function filter(text) {
  const faults = [];
  const tests = text.split(/\s+/).filter(Boolean).map((term) => testOf(term, faults));
  let shown = 0;
  for (const row of rows) {
    const keep = tests.every((test) => test(row));
    shown += keep;
    for (const part of document.querySelectorAll(`[data-row="${row.dataset.row}"]`)) part.toggleAttribute("hidden", !keep);
  }
  document.querySelector("#shown").textContent = faults.join("; ") || `${shown} of ${rows.length}`;
}

function pick(number) {
  for (const plot of document.querySelectorAll("svg")) {
    plot.classList.toggle("picked", number !== undefined);
    for (const curve of plot.querySelectorAll(".curve")) curve.classList.toggle("picked", curve.dataset.row === number);
  }
}

[...table.tHead.rows[0].cells].forEach((cell, column) =>
  cell.querySelector("button").addEventListener("click", () => sort(column)),
);
document.querySelector("#filter")?.addEventListener("input", (event) => filter(event.target.value));
for (const row of rows) {
  row.addEventListener("mouseenter", () => pick(row.dataset.row));
  row.addEventListener("mouseleave", () => pick(undefined));
}
for (const curve of document.querySelectorAll("svg .curve")) {
  curve.addEventListener("mouseenter", () => pick(curve.dataset.row));
  curve.addEventListener("mouseleave", () => pick(undefined));
}
const dialog = document.querySelector("dialog");
for (const picture of document.querySelectorAll(".picture")) {
  picture.addEventListener("click", () => {
    dialog.querySelector("img").src = picture.querySelector("img").src;
    dialog.querySelector("img").alt = picture.querySelector("img").alt;
    dialog.querySelector("a").href = picture.dataset.link;
    dialog.querySelector("a").textContent = picture.getAttribute("aria-label");
    dialog.showModal();
  });
}
dialog?.addEventListener("click", (event) => event.target === dialog && dialog.close());
