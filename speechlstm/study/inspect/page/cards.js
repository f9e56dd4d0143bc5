/* Below the panels: cards about all frames together. */
const share = { low: 0, high: 1 };
const percents = (name, high = 1) => ({ ...share, high, label: `${name} (%)`, marks: marksOf(0, high, 5, 100) });
const gates = () => Object.entries(chosen()?.gates ?? {});
const inkOf = ({ layer }) => [...data.series, "ink", "quiet"][(layer - 1) % (data.series.length + 2)];
const dashesOf = ({ direction }) => (direction === "backward" ? [5, 3] : null);
const average = (key) => {
  const [back, ahead] = [0, 1].map((side) => Math.round(1000 * mean(data.reaches.map((each) => each[key][side]))));
  return `${back} ms before to ${ahead} ms after`;
};

const CARDS = [
  {
    title: "How long units remember",
    shown: () => Boolean(chosen()?.halfLife),
    text() {
      const shift = Math.round(1000 * chosen().shift);
      const kept = (frames) => (0.5 ** (1 / frames)).toFixed(2);
      return (
        "Share of units with at most this half-life: the time in which a unit forgets half of its memory (the Kaplan-Meier " +
        `median over the frames). A frame is ${shift} ms, so a half-life of ${shift} ms means that half is gone one frame later, with the ` +
        `forget gate at 0.5; ${5 * shift} ms take a gate of ${kept(5)}, ${25 * shift} ms one of ${kept(25)}. Where a line ends below ` +
        "100 %, the recording is too short for the half-lives of the other units."
      );
    },
    legend: () => data.layers.map((each) => [nameOf(each), inkOf(each), dashesOf(each)]),
    draw() {
      const finite = data.layers.flatMap((each) => each.halfLife.filter((life) => life !== null));
      const x = { low: Math.max(Math.min(...finite, 10), 1), high: Math.max(1000 * data.seconds, 100), log: true };
      const chart = plot({ name: this.title, x: { ...x, label: "half-life (ms)", marks: [1, 10, 100, 1000, 10000, 100000].filter((value) => value >= x.low && value <= x.high).map((value) => [value, `${value}`]) }, y: percents("units") });
      data.layers.forEach((each, index) => {
        const [count, points] = [each.halfLife.length, [[x.low, 0]]];
        each.halfLife.forEach((life, k) => {
          if (life !== null) points.push([Math.max(life, x.low), k / count], [Math.max(life, x.low), (k + 1) / count]);
        });
        chart.inside.append(line(chart, points, inkOf(each), index === state.layer ? 3.2 : 1.3, dashesOf(each)));
      });
      return chart.svg;
    },
  },
  {
    title: "How far open the gates are",
    shown: () => gates().length > 0,
    text: () =>
      `All units in all frames of ${nameOf(chosen())}. ` +
      `${gates().map(([name, gate]) => `${PARTS[name].title}: ${percent(mean(gate.shut), 0)} shut, ${percent(mean(gate.open), 0)} open`).join("; ")}.`,
    legend: () => gates().map(([name]) => [PARTS[name].title, PARTS[name].ink]),
    draw() {
      const high = Math.max(...gates().flatMap(([, gate]) => gate.histogram), 0.05);
      const chart = plot({ name: this.title, x: { ...share, label: "opening (0 shut, 1 open)" }, y: percents("values", high) });
      for (const [name, { histogram }] of gates()) {
        const points = histogram.flatMap((part, k) => [
          [k / histogram.length, part],
          [(k + 1) / histogram.length, part],
        ]);
        chart.svg.append(line(chart, points, PARTS[name].ink, 2));
      }
      return chart.svg;
    },
  },
  {
    title: "Which units are saturated",
    shown: () => gates().length > 0,
    text: () =>
      `Each mark is a gate of one unit of ${nameOf(chosen())}: how much of the time it is shut (below 0.1) and open (above 0.9). ` +
      "On the diagonal, it is never in between; near the origin, it is never saturated.",
    legend: () =>
      gates().map(([name]) => [`${PARTS[name].title} (${{ circle: "●", square: "■", triangle: "▲" }[PARTS[name].mark]})`, PARTS[name].ink]),
    draw() {
      const chart = plot({ name: this.title, x: percents("shut, of the time"), y: percents("open, of the time") });
      for (const [name, gate] of gates())
        chart.svg.append(scatter(chart, gate.shut.map((shut, k) => [shut, gate.open[k]]), PARTS[name].ink, PARTS[name].mark));
      return chart.svg;
    },
  },
  {
    title: "How far back and ahead outputs reach",
    shown: () => data.reaches.length > 0,
    text: () =>
      `Gradient of ${data.reaches.length} outputs with respect to the input before (left) and after (right) them, relative to ` +
      `its maximum; the bold line is the mean. On average, half of it comes from ${average("half")}, 90 % from ${average("most")}.`,
    draw() {
      const [far, low] = [Math.min(data.seconds, 3), 10 ** -data.reachDecades];
      const chart = plot({
        name: this.title,
        x: { low: -far, high: far, label: "seconds from the output" },
        y: { low, high: 1, log: true, label: "gradient, relative" },
      });
      const sums = new Map();
      for (const each of data.reaches) {
        const points = [];
        levels(each).forEach((level, k) => {
          const lag = Math.round(k - each.seconds / data.featureShift),
            size = 10 ** ((level / 255 - 1) * data.reachDecades);
          if (Math.abs(lag) * data.featureShift > far) return;
          points.push([lag * data.featureShift, size]);
          const [sum, count] = sums.get(lag) ?? [0, 0];
          sums.set(lag, [sum + size, count + 1]);
        });
        chart.inside.append(line(chart, points, "line", 1));
      }
      const all = [...sums].sort((a, b) => a[0] - b[0]);
      chart.inside.append(line(chart, all.map(([lag, [sum, count]]) => [lag * data.featureShift, sum / count]), "blue", 2.5));
      return chart.svg;
    },
  },
  {
    title: "What each direction contributes",
    shown: () => Object.keys(data.shares).length > 0,
    text: () => "Share of the sum of |gradient × output| over all frames, by layer.",
    legend: () => [["forward: the past", "blue"], ["backward: the future", "orange"]],
    draw() {
      const layers = Object.entries(data.shares);
      const y = { low: layers.length + 0.5, high: 0.5, marks: layers.map(([layer], k) => [k + 1, `layer ${layer}`]), label: " " };
      const chart = plot({ name: this.title, x: percents("share of the contribution"), y, height: 30 * layers.length + 60 });
      layers.forEach(([, { total }], k) => {
        for (const [from, to, ink] of [[0, total, "blue"], [total, 1, "orange"]]) {
          const [x, wide, middle] = [chart.x(from) + 1, Math.max(chart.x(to) - chart.x(from) - 2, 0), chart.y(k + 1)];
          chart.svg.append(shape("rect", { x, y: middle - 11, width: wide, height: 22, style: `fill:var(--${ink})` }));
          const text = { x: x + wide / 2, y: middle + 4, "text-anchor": "middle", style: "fill:var(--panel)" };
          if (wide > 40) chart.svg.append(shape("text", text, percent(to - from, 0)));
        }
      });
      return chart.svg;
    },
  },
];

function buildCards() {
  for (const each of CARDS) {
    each.body = element("div");
    each.element = card(each.title, each.body);
    byId("cards").append(each.element);
  }
  buildTable();
}

function drawCards() {
  for (const each of CARDS) {
    each.element.hidden = !each.shown();
    if (each.element.hidden) continue;
    const entries = each.legend?.();
    each.body.replaceChildren(
      element("p", { class: "quiet" }, each.text()),
      ...(entries ? [legend(entries)] : []),
      each.draw(),
    );
  }
  for (const row of document.querySelectorAll("#layers tbody tr"))
    row.classList.toggle("chosen", Number(row.dataset.layer) === state.layer);
}

function buildTable() {
  byId("layers").hidden = !data.layers.length;
  if (!data.layers.length) return;
  const quantile = (list, part) => (list?.length ? list[Math.floor(part * (list.length - 1))] : null);
  const column = (name, value, show) => ({ name, value: (each) => value(each) ?? Infinity, show: (each) => show(value(each)) });
  const columns = [column("layer", (each) => each.layer, String), column("direction", (each) => each.direction, String)];
  if (data.layers.some((each) => each.halfLife))
    columns.push(
      column("median half-life (ms)", (each) => quantile(each.halfLife, 0.5), duration),
      column("90th percentile (ms)", (each) => quantile(each.halfLife, 0.9), duration),
    );
  for (const gate of Object.keys(data.layers[0].gates))
    for (const side of ["shut", "open"])
      columns.push(column(`${PARTS[gate].symbol} ${side}`, (each) => mean(each.gates[gate][side]), (part) => percent(part, 0)));
  if (Object.keys(data.shares).length)
    columns.push(
      column(
        "contributes",
        ({ layer, direction }) => (direction === "forward" ? data.shares[layer].total : 1 - data.shares[layer].total),
        (part) => percent(part, 0),
      ),
    );
  const choice = (row, each, index) => {
    row.dataset.layer = index;
    row.addEventListener("click", () => choose(index));
  };
  document.querySelector("#layers .wide").append(sortable(columns, data.layers, choice));
}
