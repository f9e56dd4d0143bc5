/* What the page is built of: elements, numbers as text, and axes. Texts from outside become text nodes only. */
const data = JSON.parse(document.getElementById("data").textContent);

const byId = (name) => document.getElementById(name);
const percent = (rate, digits = 2) => (rate === null ? "none" : `${(100 * rate).toFixed(digits)}\u00a0%`);
const signed = (rate) => `${rate > 0 ? "+" : rate < 0 ? "−" : "±"}${(100 * Math.abs(rate)).toFixed(2)}`;
const decimal = (value, digits) =>
  value === null || value === undefined ? "" : value.toFixed(digits).replace("-", "−");
const whole = (value) => value.toLocaleString("en-GB").replaceAll(",", "\u2009");
const between = (interval) =>
  interval
    ? `95 %: ${(100 * interval[0]).toFixed(2)} to ${(100 * interval[1]).toFixed(2)} %`
    : "no interval: too few";

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

/* Round steps, about `wanted` of them, from `low` to `high`. */
function ticks(low, high, wanted = 5) {
  const rough = (high - low || 1) / wanted;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 5, 10].find((factor) => factor * unit >= rough);
  const found = [];
  for (let count = Math.ceil(low / step - 1e-9); count * step <= high + step * 1e-9; count++)
    found.push(count * step);
  return { step, found };
}

const label = (value, step) =>
  value.toFixed(Math.max(0, Math.ceil(-Math.log10(step) - 1e-9))).replace("-", "−");

/* A plot with labelled axes, one or two; `x` and `y` map values to places in it. */
function plot({ xs, ys, xLabel, yLabel, name, width = 560, height = 290 }) {
  const [left, right, top, bottom] = [yLabel ? 58 : 14, 14, 10, 44];
  const x = (value) => left + ((value - xs[0]) / (xs[1] - xs[0] || 1)) * (width - left - right);
  const y = (value) => height - bottom - ((value - ys[0]) / (ys[1] - ys[0] || 1)) * (height - top - bottom);
  const style = `max-width:${Math.round(width * 1.15)}px`; // letters are the same size in wide and narrow charts
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, style, role: "group", "aria-label": name });
  const across = ticks(...xs, 6);
  const up = yLabel ? ticks(...ys) : { found: [] };
  for (const value of up.found) {
    svg.append(shape("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
    svg.append(
      shape(
        "text",
        { class: "quiet", x: left - 7, y: y(value) + 4, "text-anchor": "end" },
        label(value, up.step),
      ),
    );
  }
  for (const value of across.found) {
    svg.append(
      shape("line", {
        class: "axis",
        x1: x(value),
        x2: x(value),
        y1: height - bottom,
        y2: height - bottom + 4,
      }),
    );
    svg.append(
      shape(
        "text",
        { class: "quiet", x: x(value), y: height - bottom + 17, "text-anchor": "middle" },
        label(value, across.step),
      ),
    );
  }
  svg.append(
    shape("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
  );
  if (yLabel) svg.append(shape("line", { class: "axis", x1: left, x2: left, y1: top, y2: height - bottom }));
  svg.append(
    shape("text", { x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle" }, xLabel),
  );
  const middle = (top + height - bottom) / 2;
  svg.append(
    shape(
      "text",
      { x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` },
      yLabel,
    ),
  );
  return { svg, x, y, left, right: width - right, top, bottom: height - bottom };
}

/* The top of an axis of error rates in per cent: a round number above everything that is drawn. */
function ceiling(groups) {
  const most = Math.max(
    1,
    ...groups.map((group) => 100 * Math.max(group.rate ?? 0, group.interval?.[1] ?? 0)),
  );
  const { step } = ticks(0, most);
  return Math.ceil(most / step - 1e-9) * step;
}
