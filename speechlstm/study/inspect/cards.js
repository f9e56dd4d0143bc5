"use strict";
// Below the panels: what holds for the whole recording.

const percent = value => `${Math.round(100 * value)} %`;
const marksOf = (low, high, wanted, text = value => `${value}`) => ticks(low, high, wanted).map(value => [value, text(value)]);
const other = () => [[0, "0"], [0.25, "25"], [0.5, "50"], [0.75, "75"], [1, "100"]];

const CARDS = [
  {
    title: "How long units remember", shown: () => data.layers.length && chosen().halfLife,
    text: () => "Share of units whose half-life is no longer than that: the time in which half of what a unit holds is forgotten, half of the time or more. Where a line ends below 100 %, the rest outlast the recording.",
    legend: () => data.layers.map(each => [label(each), LAYER_INK[(each.layer - 1) % 6], each.direction === "backward"]),
    draw(canvas) {
      const low = Math.min(...data.layers.flatMap(each => each.halfLife.filter(life => life !== null)), 10), high = 1000 * data.seconds;
      const x = {low: Math.max(low, 1), high: Math.max(high, 100), log: true, label: "half-life (ms)"};
      x.marks = [1, 10, 100, 1000, 10000, 100000].filter(value => value >= x.low && value <= x.high).map(value => [value, `${value}`]);
      const series = data.layers.map((each, index) => {
        const count = each.halfLife.length, points = [[x.low, 0]];
        each.halfLife.forEach((life, k) => { if (life !== null) points.push([life, k / count], [life, (k + 1) / count]); });
        return {points, ink: LAYER_INK[(each.layer - 1) % 6], dash: each.direction === "backward" ? [5, 3] : [], width: index === state.layer ? 3.2 : 1.3};
      });
      chart(canvas, 240, x, {low: 0, high: 1, marks: other(), label: "units (%)"}, series);
    },
  },
  {
    title: "How far open the gates are", shown: () => data.layers.length && Object.keys(chosen().gates).length,
    text: () => `All units in all frames of ${label(chosen())}. ` + Object.entries(chosen().gates).map(([name, gate]) => `${name}: ${percent(mean(gate.shut))} shut, ${percent(mean(gate.open))} open`).join("; ") + ".",
    legend: () => Object.keys(chosen().gates).map(name => [name, INK[name], false]),
    draw(canvas) {
      const gates = Object.entries(chosen().gates);
      const high = Math.max(...gates.flatMap(([, gate]) => gate.histogram), 0.05);
      const series = gates.map(([name, gate]) => ({
        ink: INK[name], width: 2,
        points: gate.histogram.flatMap((share, k) => [[k / gate.histogram.length, share], [(k + 1) / gate.histogram.length, share]]),
      }));
      chart(canvas, 240, {low: 0, high: 1, marks: marksOf(0, 1, 5), label: "opening (0 shut, 1 open)"},
        {low: 0, high, marks: marksOf(0, high, 4, value => `${Math.round(100 * value)}`), label: "values (%)"}, series);
    },
  },
  {
    title: "Which units are saturated", shown: () => data.layers.length && Object.keys(chosen().gates).length,
    text: () => `Each mark is the gate of a unit of ${label(chosen())}: how much of the time it is shut (below 0.1) and open (above 0.9). On the diagonal it is never in between; near the origin it is never saturated.`,
    legend: () => Object.keys(chosen().gates).map(name => [`${name} (${{circle: "●", square: "■", triangle: "▲"}[MARKER[name]]})`, INK[name], false]),
    draw(canvas) {
      const series = Object.entries(chosen().gates).map(([name, gate]) => ({ink: INK[name], marker: MARKER[name], points: gate.shut.map((shut, k) => [shut, gate.open[k]])}));
      const percents = marksOf(0, 1, 5, value => `${Math.round(100 * value)}`);
      chart(canvas, 240, {low: 0, high: 1, marks: percents, label: "shut (% of the time)"}, {low: 0, high: 1, marks: percents, label: "open (% of the time)"}, series);
    },
  },
  {
    title: "How far back and ahead outputs reach", shown: () => data.reaches.length > 0,
    text: () => `Size of the gradient of ${data.reaches.length} outputs by the input so long before (left) or after (right) them, the largest being 1; bold the mean of all. On average half of it comes from ${average("half")}, 90 % from ${average("most")}.`,
    draw(canvas) {
      const far = Math.min(data.seconds, 3), decades = data.reachDecades;
      const level = byte => 10 ** ((byte / 255 - 1) * decades);
      const sums = new Map();
      const series = data.reaches.map(each => {
        const points = [];
        values(each.levels).forEach((byte, k) => {
          const lag = Math.round(k - each.seconds / data.featureShift);
          if (Math.abs(lag) * data.featureShift > far) return;
          points.push([lag * data.featureShift, level(byte)]);
          const [sum, count] = sums.get(lag) || [0, 0];
          sums.set(lag, [sum + level(byte), count + 1]);
        });
        return {points, ink: "line", width: 1};
      });
      const average = [...sums].sort((a, b) => a[0] - b[0]).map(([lag, [sum, count]]) => [lag * data.featureShift, sum / count]);
      series.push({points: average, ink: "blue", width: 2.5});
      const marks = Array.from({length: decades + 1}, (_, k) => [10 ** -k, k ? `10${"⁻" + "⁰¹²³⁴⁵⁶"[k]}` : "1"]);
      chart(canvas, 240, {low: -far, high: far, marks: marksOf(-far, far, 6), label: "seconds from the output"}, {low: 10 ** -decades, high: 1, log: true, marks, label: "gradient, relative"}, series);
    },
  },
  {
    title: "What each direction contributes", shown: () => Object.keys(data.shares).length > 0,
    text: () => "Share of the sum of |gradient × output| over the recording, by layer.",
    legend: () => [["forward: the past", "blue", false], ["backward: the future", "orange", false]],
    draw(canvas) {
      const layers = Object.entries(data.shares), height = 30 * layers.length + 44;
      const [context, width] = pen(canvas, height), left = 60, wide = width - left - 14;
      layers.forEach(([layer, {total}], k) => {
        const y = 6 + 30 * k, middle = left + wide * total;
        write(context, `layer ${layer}`, left - 8, y + 11, {align: "right"});
        for (const [x, end, ink, share] of [[left, middle - 1, "blue", total], [middle + 1, left + wide, "orange", 1 - total]]) {
          context.fillStyle = colour(ink);
          context.fillRect(x, y, Math.max(end - x, 0), 22);
          if (end - x > 40) write(context, percent(share), (x + end) / 2, y + 11, {align: "center", ink: "paper"});
        }
      });
      for (const [value, text] of other()) write(context, `${text} %`, left + wide * value, height - 30, {align: value === 1 ? "right" : "center"});
      write(context, "share of the contribution", left + wide / 2, height - 10, {align: "center"});
    },
  },
];

const mean = list => list.reduce((sum, value) => sum + value, 0) / Math.max(list.length, 1);
function average(key) {
  const [back, ahead] = [0, 1].map(side => Math.round(1000 * mean(data.reaches.map(each => each[key][side]))));
  return `${back} ms before to ${ahead} ms after`;
}

function buildCards() {
  for (const card of CARDS) {
    card.element = element("div", "", find("#cards"));
    card.element.className = "card";
    element("h2", card.title, card.element);
    card.paragraph = element("p", "", card.element);
    card.key = element("div", "", card.element);
    card.key.className = "legend";
    card.canvas = element("canvas", "", card.element);
    card.canvas.setAttribute("role", "img");
    card.canvas.setAttribute("aria-label", card.title);
  }
  buildTable();
  for (const {title, lines, text} of data.equations) {
    const card = element("div", "", find("#cards"));
    card.className = "card";
    element("h2", title, card);
    element("code", lines.join("\n"), card);
    element("p", text, card);
  }
}

function drawCards() {
  for (const card of CARDS) {
    card.element.hidden = !card.shown();
    if (card.element.hidden) continue;
    card.paragraph.textContent = card.text();
    card.key.replaceChildren(...(card.legend?.() || []).map(([text, ink, dashed]) => {
      const entry = element("span", text);
      entry.style.setProperty("--color", `var(--${ink})`);
      if (dashed) entry.style.setProperty("--dash", "dashed");
      return entry;
    }));
    card.draw(card.canvas);
  }
  document.querySelectorAll("#layers tbody tr").forEach(row => row.classList.toggle("chosen", Number(row.dataset.layer) === state.layer));
}

function buildTable() {
  const middle = list => list && list.length ? list[Math.floor((list.length - 1) / 2)] : undefined;
  const high = list => list && list.length ? list[Math.floor(0.9 * (list.length - 1))] : undefined;
  const columns = [["layer", each => each.layer, value => value], ["direction", each => each.direction, value => value]];
  if (data.layers.some(each => each.halfLife)) {
    columns.push(["median half-life (ms)", each => middle(each.halfLife), milliseconds], ["90th percentile (ms)", each => high(each.halfLife), milliseconds]);
  }
  for (const gate of Object.keys(data.layers[0]?.gates || {})) {
    columns.push([`${gate} shut`, each => mean(each.gates[gate].shut), percent], [`${gate} open`, each => mean(each.gates[gate].open), percent]);
  }
  if (Object.keys(data.shares).length) {
    columns.push(["contributes", each => each.direction === "forward" ? data.shares[each.layer].total : 1 - data.shares[each.layer].total, percent]);
  }
  find("#layers").hidden = !data.layers.length;
  const body = find("#layers tbody");
  data.layers.forEach((each, k) => {
    const row = element("tr", "", body);
    row.dataset.layer = k;
    row.addEventListener("click", () => choose(k));
    for (const [, value, show] of columns) element("td", `${show(value(each))}`, row);
  });
  columns.forEach(([title, value], k) => {
    const head = element("th", "", find("#layers thead tr"));
    element("button", title, head).addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      document.querySelectorAll("#layers th").forEach(each => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = row => { const found = value(data.layers[row.dataset.layer]); return found === null ? Infinity : found; };
      const order = (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : a.dataset.layer - b.dataset.layer) * (down ? -1 : 1);
      body.append(...[...body.rows].sort(order));
    });
  });
}

start();
