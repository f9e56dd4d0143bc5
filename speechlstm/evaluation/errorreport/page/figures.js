/* How many errors there are, of which kind and why, and how another recognizer compares. */
const signed = (rate) => `${rate > 0 ? "+" : rate < 0 ? "−" : "±"}${(100 * Math.abs(rate)).toFixed(2)}`;
const between = (interval) =>
  interval
    ? `95 %: ${(100 * interval[0]).toFixed(2)} to ${(100 * interval[1]).toFixed(2)} %`
    : "no interval: too few";

/* The top of an axis of error rates in per cent: a round number above everything that is drawn. */
function ceiling(groups) {
  const most = Math.max(
    1,
    ...groups.map((group) => 100 * Math.max(group.rate ?? 0, group.interval?.[1] ?? 0)),
  );
  const { step } = ticks(0, most);
  return Math.ceil(most / step - 1e-9) * step;
}
const RATES = "word error rate (%)";

const stepNames = { s: "substitutions", d: "deletions", i: "insertions" };
const causeNames = {
  search: "search errors: the right text had the higher score",
  model: "model errors: the wrong text had the higher score",
  unreachable: "unreachable: the right text cannot be found",
};

const tile = (name, value, ...more) =>
  element(
    "div",
    { class: "tile" },
    element("span", {}, name),
    element("b", {}, value),
    ...more.map((each) => element("span", {}, each)),
  );

function tiles() {
  const { words, characters, sentences, setup, seconds } = data;
  byId("tiles").append(
    tile(
      "word error rate",
      percent(words.rate),
      between(words.interval),
      `${counted(words.errors, "error")}, ${counted(words.length, "word")}`,
    ),
    tile(
      "character error rate",
      percent(characters.rate),
      between(characters.interval),
      `${counted(characters.errors, "error")}, ${counted(characters.length, "character")}`,
    ),
    tile(
      "utterances with an error",
      percent(sentences.rate),
      between(sentences.interval),
      `${whole(sentences.wrong)} of ${whole(sentences.count)}`,
    ),
    tile(
      "audio",
      seconds < 5400 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`,
      counted(sentences.count, "utterance"),
      setup.failed ? `${whole(setup.failed)} more could not be read` : "all could be read",
    ),
  );
}

/* A bar of parts with their amounts below; `parts` are [class, name, amount, filter]. */
function stack(title, parts, unit, note) {
  const total = parts.reduce((sum, part) => sum + part[2], 0);
  const shares = parts.filter((part) => part[2]);
  return card(
    title,
    element(
      "div",
      { class: "stack" },
      ...shares.map(([style, name, amount]) =>
        element("i", { class: style, title: name, style: `flex:${amount}` }),
      ),
    ),
    element(
      "div",
      { class: "legend" },
      ...parts.map(([style, name, amount, filter]) =>
        element(
          "button",
          { type: "button", onclick: () => table.filter(filter) },
          element("i", { class: style }),
          element("span", {}, name),
          element("b", {}, `${whole(amount)} ${unit}${total ? ` (${percent(amount / total, 1)})` : ""}`),
        ),
      ),
    ),
    note ? element("p", { class: "quiet" }, note) : null,
  );
}

function kinds() {
  const { words, causes, oracle } = data;
  const parts = Object.entries(stepNames).map(([letter, name]) => [
    `fill-${letter}`,
    name,
    words[name],
    { name: `with ${name}`, holds: (u) => u.steps.includes(letter) },
  ]);
  byId("kinds").append(
    stack(
      "Word errors by kind",
      parts,
      "",
      `Per reference word: ${Object.values(stepNames)
        .map((name) => `${name} ${percent(words.length ? words[name] / words.length : null)}`)
        .join(", ")}.`,
    ),
  );
  const reasons = Object.entries(causeNames).map(([kind, name]) => [
    `fill-${kind}`,
    name,
    causes[kind].utterances,
    { name: name.split(":")[0], holds: (u) => u.cause === kind },
  ]);
  byId("kinds").append(
    stack(
      "Wrong utterances by cause",
      reasons,
      "",
      "A wider search can only mend search errors; model errors need a better recognizer or language model. Unreachable are texts with characters that the " +
        "recognizer cannot write, more tokens than frames, or words that the decoder rules out. Scores: CTC over all alignments, with what the decoder adds.",
    ),
  );
  if (oracle.length)
    byId("kinds").append(
      card(
        "Oracle word error rate of the n-best list",
        oracleChart(oracle),
        element(
          "p",
          { class: "quiet" },
          `The error rate if someone who knows the text chose among the first n hypotheses: ${percent(oracle.at(-1).rate)} at n = ${oracle.at(-1).n}.`,
        ),
      ),
    );
  else
    byId("kinds").append(
      card(
        "Oracle word error rate of the n-best list",
        element(
          "p",
          { class: "quiet" },
          "The decoder gave one hypothesis for each utterance. A list comes with, for instance, decoder=beam decoder.n_best=20.",
        ),
      ),
    );
}

function oracleChart(points) {
  const { svg, x, y } = plot({
    name: "Oracle word error rate by length of the list",
    width: 380,
    height: 240,
    x: { low: 1, high: points.at(-1).n, label: "hypotheses to choose from (n)" },
    y: { low: 0, high: ceiling(points), label: RATES },
  });
  const known = points.filter((point) => point.interval);
  const edge = (end) => known.map((point) => `${x(point.n)},${y(100 * point.interval[end])}`);
  svg.append(shape("polygon", { class: "band", points: [...edge(0), ...edge(1).reverse()].join(" ") }));
  svg.append(
    shape("polyline", {
      class: "whisker",
      points: points.map((point) => `${x(point.n)},${y(100 * (point.rate ?? 0))}`).join(" "),
    }),
  );
  for (const point of points)
    svg.append(
      shape(
        "circle",
        { class: "mark", cx: x(point.n), cy: y(100 * (point.rate ?? 0)), r: 4 },
        shape("title", {}, `n = ${point.n}: ${percent(point.rate)}, ${between(point.interval)}`),
      ),
    );
  return svg;
}

function comparison() {
  const found = data.comparison;
  if (!found) return;
  byId("comparison").hidden = false;
  const { rates, difference, interval, p, better, worse, changed, utterances } = found;
  const low = 100 * Math.min(0, interval[0]),
    high = 100 * Math.max(0, interval[1]),
    room = (high - low) * 0.12 || 1;
  const { svg, x, top, bottom } = plot({
    name: "Difference of the word error rates",
    x: {
      low: low - room,
      high: high + room,
      label: "← better here    difference (percentage points)    better there →",
    },
    y: { low: 0, high: 0 },
    height: 120,
  });
  const middle = (top + bottom) / 2;
  svg.append(
    shape("line", { class: "ideal", x1: x(0), x2: x(0), y1: top, y2: bottom }),
    shape("line", {
      class: "whisker",
      x1: x(100 * interval[0]),
      x2: x(100 * interval[1]),
      y1: middle,
      y2: middle,
    }),
    shape("circle", { class: "mark", cx: x(100 * difference), cy: middle, r: 6 }),
  );
  const verdict =
    p < 0.05
      ? `This one is ${difference < 0 ? "better" : "worse"}: chance alone rarely makes such a difference.`
      : "The difference may be chance: these utterances do not tell.";
  byId("comparison")
    .querySelector(".charts")
    .append(
      card(
        `Word error rate ${percent(rates[0])} here, ${percent(rates[1])} in ${data.setup.compare_with}`,
        svg,
        element(
          "p",
          {},
          `Difference ${signed(difference)} points, 95 % interval ${signed(interval[0])} to ${signed(interval[1])}, p = ${p.toPrecision(2)} (paired bootstrap, ${counted(utterances, "utterance")}). ${verdict}`,
        ),
      ),
      stack(
        "Utterances",
        [
          [
            "fill-better",
            "fewer word errors here",
            better,
            { name: "better here", holds: (u) => gain(u) < 0 },
          ],
          ["fill-worse", "more word errors here", worse, { name: "worse here", holds: (u) => gain(u) > 0 }],
          [
            "fill-same",
            "as many",
            utterances - better - worse,
            { name: "as many errors", holds: (u) => gain(u) === 0 },
          ],
        ],
        "",
        `The texts of ${whole(changed)} differ.`,
      ),
    );
}
