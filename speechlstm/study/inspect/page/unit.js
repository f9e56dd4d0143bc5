/* One unit: its curves over time, and the equations with its numbers in one step. */
const PARTS = data.notation?.parts ?? {};
const three = (value) => decimal(value, 3);
const bracketed = (value) => (value < 0 ? `(${three(value)})` : three(value));
const isGate = (name) => name in chosen().gates;
const unitName = () => {
  const life = chosen().halfLife?.[state.unit];
  return `Unit ${state.unit + 1} of ${nameOf(chosen())}${life === undefined ? "" : `, half-life ${duration(life)} ms`}`;
};

/* Curves of those parts of the chosen unit that are gates, or of the others. */
const unitPanel = (gates, height) => ({
  height,
  shown: () => Object.keys(chosen().parts).some((name) => isGate(name) === gates),
  caption() {
    const shown = Object.entries(PARTS).filter(([name]) => isGate(name) === gates);
    return [unitName(), `: ${shown.map(([, { title, symbol }]) => `${title.toLowerCase()} ${symbol}`).join(", ")}`];
  },
  y() {
    if (gates) return { low: 0, high: 1, marks: marksOf(0, 1, 2) };
    const { parts, columns } = chosen(),
      part = parts.cell ?? parts.hidden;
    const memory = values(part).subarray(state.unit * columns, (state.unit + 1) * columns);
    const [low, high] = [Math.min(-1, ...memory), Math.max(1, ...memory)];
    return { low, high, marks: marksOf(low, high, 4) };
  },
  draw(chart) {
    const { columns, shift } = chosen();
    let y = chart.top + 10;
    for (const [name, { ink, symbol, dashes }] of Object.entries(PARTS).filter(([name]) => isGate(name) === gates)) {
      const row = values(chosen().parts[name]).subarray(state.unit * columns, (state.unit + 1) * columns);
      curve(chart, row, shift, ink, name === "cell" ? 2.4 : 1.7, dashes);
      const place = { x: chart.right + 8, x1: chart.right + 8, x2: chart.right + 26 };
      chart.svg.append(
        shape("line", { ...place, y1: y - 4, y2: y - 4, style: stroke(ink, 2.4, dashes) }),
        shape("text", { x: chart.right + 31, y }, symbol),
      );
      y += 17;
    }
  },
  read(time) {
    const frame = frameAt(time, chosen().shift, chosen().columns);
    return Object.entries(PARTS)
      .map(([name, { symbol }]) => `${symbol} ${decimal(at(name, frame), 2)}`)
      .join("  ");
  },
});

/* How the numbers of a step follow from each other. `now` and `before` are functions from a part's name to a text. */
const WORKED = {
  LSTM: {
    cell: (now, before) => `${now("forget")} · ${before("cell")} + ${now("input")} · ${now("candidate")}`,
    hidden: (now) => `${now("output")} · tanh(${now("cell")})`,
  },
  GRU: {
    hidden: (now, before) =>
      `(1 − ${now("update")}) · ${now("candidate")} + ${now("update")} · ${before("hidden")}`,
  },
};

function buildEquations() {
  if (!data.notation) return;
  const { name, equations, remark } = data.notation,
    place = byId("equations");
  place.hidden = false;
  place.querySelector("h3").textContent = `The ${name} in ${equations.length} line${equations.length > 1 ? "s" : ""}`;
  place.querySelector("p").textContent = remark;
  place.querySelector("thead tr").append(element("th"), element("th", { id: "step" }), element("th"));
  for (const [part, text] of equations) {
    const { title, meaning, ink } = PARTS[part];
    place
      .querySelector("tbody")
      .append(
        element(
          "tr",
          {},
          element("td", { style: `--color:var(--${ink})` }, element("code", {}, text)),
          element("td", {}, element("code", { class: "worked" })),
          element("td", {}, element("b", {}, title), `: ${meaning}`),
        ),
      );
  }
}

/* Write the numbers of the chosen unit beside the equations, in the frame of the chosen time. */
function work() {
  if (!data.notation) return;
  const frame = frameNow(),
    earlier = frame + (chosen().direction === "backward" ? 1 : -1);
  const now = (name) => bracketed(at(name, frame)),
    before = (name) => bracketed(at(name, earlier));
  byId("step").textContent = `unit ${state.unit + 1} of ${nameOf(chosen())} at ${decimal(frame * chosen().shift, 2)} s`;
  document.querySelectorAll("#equations .worked").forEach((cell, row) => {
    const [part] = data.notation.equations[row];
    const text = WORKED[data.notation.name]?.[part]?.(now, before);
    cell.textContent = `= ${text ? `${text} = ` : ""}${three(at(part, frame))}`;
  });
}
