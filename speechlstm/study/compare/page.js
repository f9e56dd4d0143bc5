"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const find = selector => document.querySelector(selector);
const element = (tag, text = "", parent = null) => {
  const made = document.createElement(tag);
  made.textContent = text;
  parent?.append(made);
  return made;
};
const INK = {rnn: "orange", gru: "green", lstm: "blue", transformer: "purple"};
const DASH = {rnn: [7, 3], gru: [2, 2], lstm: [], transformer: [8, 3, 2, 3]};

// A cell is a text, or {text, note, key}: what is said below it, and what it is sorted by.
function fill(cell, content) {
  const {text, note} = typeof content === "object" ? content : {text: content};
  element(note ? "b" : "i", text, cell).style.fontStyle = "normal";
  if (note) element("span", note, cell);
}

function table(id, heads, rows, sortable) {
  const head = find(`${id} thead tr`), body = find(`${id} tbody`);
  const key = content => typeof content === "object" ? content.key ?? content.text : content;
  const made = rows.map((row, k) => {
    const line = element("tr", "", body);
    row.forEach(content => fill(element("td", "", line), content));
    return {line, row, k};
  });
  heads.forEach((title, column) => {
    const cell = element("th", sortable ? "" : title, head);
    if (!sortable) return;
    element("button", title, cell).addEventListener("click", () => {
      const down = cell.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      head.querySelectorAll("th").forEach(each => each.removeAttribute("aria-sort"));
      cell.setAttribute("aria-sort", down < 0 ? "descending" : "ascending");
      const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
      made.sort((a, b) => down * order(key(a.row[column]), key(b.row[column])) || a.k - b.k);
      body.append(...made.map(each => each.line));
    });
  });
}

function legend(place) {
  data.networks.forEach(({name, title}) => {
    const entry = element("span", title, place);
    entry.style.setProperty("--color", `var(--${INK[name]})`);
    entry.style.setProperty("--dash", {rnn: "dashed", gru: "dotted", lstm: "solid", transformer: "dashed"}[name]);
  });
}

const POWERS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const power = exponent => exponent ? `10${exponent < 0 ? "⁻" : ""}${[..."" + Math.abs(exponent)].map(digit => POWERS[digit]).join("")}` : "1";

function drawFlow() {
  const chosen = data.flows[find("#flow select").value];
  if (!chosen) return;
  const all = chosen.curves.flatMap(each => [...each.before, ...each.after]).filter(value => value > 0);
  const top = Math.ceil(Math.log10(Math.max(...all))), bottom = Math.max(Math.floor(Math.log10(Math.min(...all))), top - 14);
  const every = Math.ceil((top - bottom) / 6), marks = [];
  for (let k = top; k >= bottom; k -= every) marks.push([10 ** k, power(k)]);
  const steps = chosen.curves[0].before.length;
  document.querySelectorAll("#flow canvas").forEach((canvas, k) => {
    const series = chosen.curves.map(each => ({
      points: each[k ? "after" : "before"].map((value, step) => [step, Math.max(value, 10 ** bottom)]),
      ink: INK[each.network], dash: DASH[each.network], width: 2,
    }));
    chart(canvas, 260, {low: 0, high: steps - 1, marks: ticks(0, steps - 1, 6).map(value => [value, `${value}`]), label: "steps before the end"},
      {low: 10 ** bottom, high: 10 ** top, log: true, marks, label: "norm of the gradient"}, series);
  });
}

function drawLags() {
  data.curves.forEach(({canvas, lags, shares}) => {
    const [low, high] = [Math.min(...lags), Math.max(...lags)];
    const series = [];
    for (const [k, {network, points: exact}] of shares.entries()) {
      const points = exact.map(each => ({...each, lag: each.lag * 1.012 ** (k - 1.5)})); // side by side where they are equal
      series.push({points: points.map(each => [each.lag, each.share]), ink: INK[network], dash: DASH[network], width: 2});
      for (const each of points) series.push({points: [[each.lag, each.low], [each.lag, each.high]], ink: INK[network], width: 1});
    }
    chart(canvas, 200, {low: low * 0.9, high: high * 1.1, log: true, marks: lags.map(lag => [lag, `${lag}`]), label: "lag (steps)"},
      {low: 0, high: 1, marks: [[0, "0"], [0.5, "50"], [1, "100"]], label: "solved (%)"}, series);
  });
}

find("#about").textContent = data.about;
table("#summary", ["", ...data.networks.map(each => each.title)], data.summary, false);
table("#trials", ["task", "lag", ...data.networks.map(each => each.title)], data.tasks, true);
find("#trials").hidden = !data.tasks.length;
find("#speech").hidden = !data.speech.length;
table("#speech", ["experiment", "network", "seed", "word error rate", "parameters", "seconds an epoch", "memory (MB)", "speed (x real time)"], data.speech, true);
find("#flow").hidden = !data.flows.length;
data.flows.forEach(({title}, k) => { element("option", title, find("#flow select")).value = k; });
find("#flow select").value = data.firstFlow;
find("#flow select").addEventListener("change", drawFlow);
legend(find("#flow .legend"));
find("#lags").hidden = !data.curves.length;
legend(find("#lags .legend"));
data.curves.forEach(each => {
  element("p", each.title, find("#curves"));
  each.canvas = element("canvas", "", find("#curves"));
});
const draw = () => { drawFlow(); drawLags(); };
new ResizeObserver(draw).observe(find("main"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
