/* Tables and charts of a comparison. A cell is a text, or {text, note, key}: the note stands below, the key sorts. */
const show = (cell) =>
  cell.note ? element("div", {}, element("b", {}, cell.text), element("span", {}, cell.note)) : (cell.text ?? cell);
const key = (cell) => (typeof cell === "object" ? (cell.key ?? cell.text) : cell);
const looks = (name) => data.networks[name];
const titles = Object.values(data.networks).map(({ title }) => title);
const column = (name, index, style) => ({ name, style, value: (row) => key(row[index]), show: (row) => show(row[index]) });
const place = (id, selector) => byId(id).querySelector(selector);
const keys = (id) =>
  place(id, ".keys").append(legend(Object.values(data.networks).map(({ title, ink, dashes }) => [title, ink, dashes])));
const figure = (title, note, chart) =>
  element("div", {}, element("h4", {}, title), element("p", { class: "quiet" }, note), chart.svg);

function draw(chart, points, network, width = 2) {
  chart.inside.append(line(chart, points, looks(network).ink, width, looks(network).dashes));
}

/* Each trial's loss, with a ring where the task is solved. */
function learningChart({ learning }) {
  const all = learning.flatMap(({ points }) => points);
  const losses = all.map(([, loss]) => loss).filter((loss) => loss > 0);
  const chart = plot({
    name: "Learning curves",
    x: { low: 0, high: Math.max(...all.map(([updates]) => updates)), label: "updates" },
    y: { low: Math.max(Math.min(...losses) / 1.5, 1e-6), high: Math.max(...losses) * 1.5, log: true, label: "training loss" },
  });
  for (const { network, points, solved } of learning) {
    draw(chart, points, network, 1.3);
    const [x, y] = points.at(-1);
    if (solved)
      chart.svg.append(shape("circle", { cx: chart.x(x), cy: chart.y(y), r: 4.5, style: stroke(looks(network).ink, 1.5) }));
  }
  return chart;
}

function flowChart({ flows }, when) {
  const all = flows.flatMap((each) => [...each.before, ...each.after]).filter((value) => value > 0);
  const top = Math.ceil(Math.log10(Math.max(...all))),
    bottom = Math.max(Math.floor(Math.log10(Math.min(...all))), top - 14);
  const chart = plot({
    name: `Gradients ${when} training`,
    x: { low: 0, high: flows[0].before.length - 1, label: "steps before the loss" },
    y: { low: 10 ** bottom, high: 10 ** top, log: true, label: "norm of the gradient" },
  });
  for (const each of flows)
    draw(chart, each[when].map((value, step) => [step, Math.max(value, 10 ** bottom)]), each.network);
  return chart;
}

function drawTask() {
  const group = data.groups[place("task", "select").value];
  if (!group) return;
  const gradient = "Norm of the gradient of the last loss that needs memory with respect to the input that many steps before, averaged over the sequences that are so long, and over seeds.";
  place("task", ".cards").replaceChildren(
    ...(group.learning.length
      ? [figure("Learning curves", "Training loss, one line per seed. A ring marks where the task is solved.", learningChart(group))]
      : []),
    figure("Gradient before training", gradient, flowChart(group, "before")),
    figure("Gradient after training", gradient, flowChart(group, "after")),
  );
}

function lagChart({ title, lags, shares }) {
  const chart = plot({
    name: title,
    x: { low: Math.min(...lags) * 0.9, high: Math.max(...lags) * 1.1, log: true, marks: lags.map((lag) => [lag, `${lag}`]), label: "lag (steps)" },
    y: { low: 0, high: 100, label: "solved (%)" },
  });
  shares.forEach(({ network, points }, k) => {
    const moved = points.map((each) => ({ ...each, lag: each.lag * 1.012 ** (k - 1.5) })); // side by side where they are equal
    draw(chart, moved.map((each) => [each.lag, 100 * each.share]), network);
    for (const { lag, low, high } of moved)
      chart.svg.append(line(chart, [[lag, 100 * low], [lag, 100 * high]], looks(network).ink, 1));
  });
  return figure(title, "Vertical bars are 95 % intervals.", chart);
}

function epochChart({ title, curves }) {
  const all = curves.flatMap(({ points }) => points),
    epochs = marksOf(1, Math.max(2, ...all.map(([epoch]) => epoch)), 6).filter(([epoch]) => Number.isInteger(epoch));
  const chart = plot({
    name: title,
    x: { low: 1, high: Math.max(2, ...all.map(([epoch]) => epoch)), label: "epoch", marks: epochs },
    y: { low: 0, high: Math.max(...all.map(([, rate]) => 100 * rate)), label: "word error rate (%)" },
  });
  for (const { network, points } of curves) draw(chart, points.map(([epoch, rate]) => [epoch, 100 * rate]), network);
  return figure(`Learning curves: ${title}`, "Word error rate on the dev part after each validated epoch, with the decoder used in training.", chart);
}

byId("title").textContent = data.title;
byId("about").textContent = data.about;
const plain = ["", ...titles].map((name, index) => ({ ...column(name, index), value: null }));
place("summary", ".wide").append(sortable(plain, data.summary));
byId("trials").hidden = byId("task").hidden = !data.tasks.length;
place("trials", ".wide").append(sortable(["task", "lag", ...titles].map((name, index) => column(name, index)), data.tasks));
data.groups.forEach(({ title }, index) => place("task", "select").append(element("option", { value: index }, title)));
place("task", "select").value = data.firstGroup;
place("task", "select").addEventListener("change", drawTask);
byId("lags").hidden = !data.lags.length;
place("lags", ".cards").append(...data.lags.map(lagChart));
byId("speech").hidden = !data.speech.length;
const heads = ["experiment", "network", "seed", "word error rate", "parameters", "seconds per epoch", "memory (MB)", "speed (x real time)"];
place("speech", ".wide").append(sortable(heads.map((name, index) => column(name, index, index > 1 ? "number" : null)), data.speech));
place("speech", ".cards").append(...data.epochs.map(epochChart));
for (const id of ["task", "lags", ...(data.epochs.length ? ["speech"] : [])]) keys(id);
drawTask();
