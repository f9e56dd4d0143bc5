/* Charts: one way to draw axes. Colors are names of the palette, so that a chart follows the reader's scheme. */
const stroke = (ink, width = 1.5, dashes = null) =>
  `fill:none;stroke:var(--${ink});stroke-width:${width};stroke-linejoin:round` +
  (dashes ? `;stroke-dasharray:${dashes.join(" ")}` : "");

/* Round steps, about `wanted` of them, from `low` to `high`. */
function ticks(low, high, wanted = 5) {
  const rough = (high - low || 1) / wanted;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 5, 10].find((factor) => factor * unit >= rough * 0.999);
  const found = [];
  for (let count = Math.ceil(low / step - 1e-9); count * step <= high + step * 1e-9; count++)
    found.push(count * step);
  return { step, found };
}

const label = (value, step) =>
  value.toFixed(Math.max(0, Math.ceil(-Math.log10(step) - 1e-9))).replace("-", "−");

/* Marks of an axis, [value, text] each. */
function marksOf(low, high, wanted = 5, scale = 1) {
  const { step, found } = ticks(low * scale, high * scale, wanted);
  return found.map((value) => [value / scale, label(value, step)]);
}
const power = (exponent) =>
  exponent
    ? `10${exponent < 0 ? "⁻" : ""}${[...`${Math.abs(exponent)}`].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("")}`
    : "1";
function powersOf(low, high, wanted = 6) {
  const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
  const every = Math.max(1, Math.ceil((last - first) / wanted)),
    found = [];
  for (let exponent = last; exponent >= first; exponent -= every)
    found.push([10 ** exponent, power(exponent)]);
  return found.length > 1 ? found : marksOf(low, high, 4); // too few powers of ten to read it by
}

const EDGES = { left: 58, right: 14, top: 10, bottom: 44 };

/* A chart with labeled axes. `x` and `y` are {low, high, label, marks, log}; without marks round numbers, or powers of
   ten, stand at an axis, and with an empty list nothing. Returned are the picture, in `inside` the part of it that cuts
   off what lies beyond the axes, and functions from values to places. */
function plot({ name, x, y, width = 560, height = 290, edges = y.label ? EDGES : { ...EDGES, left: 14 } }) {
  const [left, right, top, bottom] = [edges.left, width - edges.right, edges.top, height - edges.bottom];
  const along = (axis, value) =>
    axis.log
      ? Math.log(value / axis.low) / Math.log(axis.high / axis.low)
      : (value - axis.low) / (axis.high - axis.low || 1);
  const chart = { left, right, top, bottom, width: right - left, height: bottom - top };
  chart.x = (value) => left + along(x, value) * chart.width;
  chart.y = (value) => bottom - along(y, value) * chart.height;
  const marks = (axis, wanted) =>
    axis.marks ?? (axis.log ? powersOf(axis.low, axis.high) : marksOf(axis.low, axis.high, wanted));
  // letters are the same size in wide and narrow charts
  const style = `max-width:${Math.round(width * 1.15)}px;overflow:visible`;
  chart.svg = shape("svg", {
    viewBox: `0 0 ${width} ${height}`,
    style,
    role: "group",
    "aria-label": name,
  });
  for (const [value, text] of y.label || y.marks ? marks(y, 5) : []) {
    const at = chart.y(value);
    chart.svg.append(
      shape("line", { class: "grid", x1: left, x2: right, y1: at, y2: at }),
      shape("text", { class: "quiet", x: left - 7, y: clamp(at + 4, 10, height - 2), "text-anchor": "end" }, text),
    );
  }
  for (const [value, text] of marks(x, 6)) {
    const at = chart.x(value);
    chart.svg.append(
      shape("line", { class: "axis", x1: at, x2: at, y1: bottom, y2: bottom + 4 }),
      shape("text", { class: "quiet", x: at, y: bottom + 17, "text-anchor": "middle" }, text),
    );
  }
  if (x.label)
    chart.svg.append(shape("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }));
  if (x.label && y.label)
    chart.svg.append(shape("line", { class: "axis", x1: left, x2: left, y1: top, y2: bottom }));
  const middle = (top + bottom) / 2;
  if (x.label)
    chart.svg.append(
      shape("text", { x: (left + right) / 2, y: height - 8, "text-anchor": "middle" }, x.label),
    );
  if (y.label)
    chart.svg.append(
      shape(
        "text",
        { x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` },
        y.label,
      ),
    );
  const { width: wide, height: high } = chart;
  const place = { x: left, y: top, width: Math.max(wide, 1), height: Math.max(high, 1) };
  chart.inside = shape("svg", { ...place, viewBox: Object.values(place).join(" ") });
  chart.svg.append(chart.inside);
  return chart;
}

/* A line through points [x, y] of a chart's axes. */
const line = (chart, points, ink, width, dashes) =>
  shape("polyline", {
    style: stroke(ink, width, dashes),
    points: points.map(([a, b]) => `${chart.x(a).toFixed(1)},${chart.y(b).toFixed(1)}`).join(" "),
  });

/* A mark at a place: filled, so that many of them still show how many they are. */
const MARKS = {
  square: (x, y) => `M${x - 2.5} ${y - 2.5}h5v5h-5z`,
  triangle: (x, y) => `M${x} ${y - 3.5}l3.2 6h-6.4z`,
  circle: (x, y) => `M${x - 2.7} ${y}a2.7 2.7 0 1 0 5.4 0a2.7 2.7 0 1 0 -5.4 0z`,
};
const scatter = (chart, points, ink, mark) =>
  shape("path", {
    style: `fill:var(--${ink});opacity:.55`,
    d: points.map(([a, b]) => MARKS[mark](chart.x(a), chart.y(b))).join(""),
  });
