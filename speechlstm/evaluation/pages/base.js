/* What every page is built of: elements, and numbers as text. Texts from outside become text nodes only. */
const byId = (name) => document.getElementById(name);
const data = JSON.parse(byId("data").textContent);

const percent = (rate, digits = 2) => (rate === null ? "none" : `${(100 * rate).toFixed(digits)}\u00a0%`);
const decimal = (value, digits) =>
  value === null || value === undefined ? "" : value.toFixed(digits).replace("-", "−");
const whole = (value) => value.toLocaleString("en-US").replaceAll(",", "\u2009");
const counted = (number, noun) => `${whole(number)} ${noun}${number === 1 ? "" : "s"}`;
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const mean = (list) => list.reduce((sum, value) => sum + value, 0) / Math.max(list.length, 1);
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)); // from base64

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  for (const child of children) if (child !== null && child !== undefined) node.append(child);
  return node;
}
const element = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);
const shape = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

/* Something besides a button that is pressed: by the mouse, or by Enter and the space bar. */
const pressed = (action) => ({
  onclick: action,
  onkeydown: (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    action();
  },
});

const card = (title, ...children) => element("div", { class: "card" }, element("h3", {}, title), ...children);

/* What the lines of a chart stand for: [text, ink, dashes] each. */
const legend = (entries) =>
  element(
    "div",
    { class: "key" },
    ...entries.map(([text, ink, dashes]) =>
      element(
        "span",
        {},
        shape(
          "svg",
          { width: 26, height: 10, "aria-hidden": "true" },
          shape("line", { x1: 0, x2: 26, y1: 5, y2: 5, style: stroke(ink, 2.5, dashes) }),
        ),
        text,
      ),
    ),
  );

/* Rows in a table whose headings sort it. A column is {name, show, value, style}: the text and what it is sorted by;
   without `value` it is not sorted by. */
function sortable(columns, rows, decorate = () => {}) {
  const body = element("tbody"),
    head = element("tr");
  const made = rows.map((row, index) => {
    const line = element(
      "tr",
      {},
      ...columns.map((column) => element("td", { class: column.style }, column.show(row))),
    );
    decorate(line, row, index);
    return { line, row, index };
  });
  body.append(...made.map((each) => each.line));
  for (const column of columns) {
    const cell = element("th", { class: column.style, scope: "col" });
    head.append(cell);
    if (!column.value) {
      cell.append(column.name);
      continue;
    }
    const sort = () => {
      const down = cell.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of head.cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", down < 0 ? "descending" : "ascending");
      const key = ({ row }) => column.value(row);
      made.sort((a, b) => down * (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) || a.index - b.index);
      body.append(...made.map((each) => each.line));
    };
    cell.append(element("button", { type: "button", onclick: sort }, column.name));
  }
  return element("table", {}, element("thead", {}, head), body);
}
