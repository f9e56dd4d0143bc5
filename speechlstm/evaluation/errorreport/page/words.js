/* Which words are wrong, and how far the confidence of a word can be trusted. */

/* A list of words with bars; `columns` are their headings, the last two of each row its occurrences and its count. */
function ranking(title, columns, rows, filter) {
  if (!rows.length) return card(title, element("p", { class: "quiet" }, "none"));
  const most = rows[0].at(-1);
  return card(
    title,
    element(
      "div",
      { class: "rows" },
      element(
        "table",
        { class: "counts" },
        element(
          "thead",
          {},
          element(
            "tr",
            {},
            ...columns.map((name) =>
              element("th", { class: ["spoken", "times"].includes(name) ? "number" : null }, name),
            ),
            element("th"),
          ),
        ),
        element(
          "tbody",
          {},
          ...rows.map((row) =>
            element(
              "tr",
              { tabindex: 0, ...pressed(() => table.filter(filter(row))) },
              ...row.map((cell, index) =>
                element(
                  "td",
                  index < row.length - 2 ? { dir: "auto" } : { class: "number" },
                  typeof cell === "number" ? whole(cell) : cell,
                ),
              ),
              element("td", { class: "bar" }, element("i", { style: `width:${(100 * row.at(-1)) / most}%` })),
            ),
          ),
        ),
      ),
    ),
  );
}

function words() {
  const has = (letter, reference, hypothesis) => (u) =>
    u.steps.includes(letter) &&
    steps(u.reference, u.hypothesis, u.steps).some(
      (step) => step.letter === letter && step.reference === reference && step.hypothesis === hypothesis,
    );
  byId("words").append(
    ranking("Most confused", ["reference", "hypothesis", "spoken", "times"], data.confusions, ([a, b]) => ({
      name: `${a} → ${b}`,
      holds: has("s", a, b),
    })),
    ranking("Most deleted", ["word", "spoken", "times"], data.deleted, ([word]) => ({
      name: `${word} deleted`,
      holds: has("d", word, ""),
    })),
    ranking("Most inserted", ["word", "spoken", "times"], data.inserted, ([word]) => ({
      name: `${word} inserted`,
      holds: has("i", "", word),
    })),
  );
}

function confidence() {
  const found = data.calibration;
  if (!found) {
    byId("confidence").append(
      card("Reliability", element("p", { class: "quiet" }, "No words were recognized.")),
    );
    return;
  }
  const filled = found.bins.filter((bin) => bin.count);
  const curve = plot({
    name: "Share of right words by confidence",
    x: { low: 0, high: 1, label: "confidence of a recognized word" },
    y: { low: 0, high: 100, label: "words that are right (%)" },
  });
  curve.svg.append(
    shape("line", { class: "ideal", x1: curve.x(0), y1: curve.y(0), x2: curve.x(1), y2: curve.y(100) }),
  );
  curve.svg.append(
    shape("polyline", {
      class: "whisker",
      points: filled.map((bin) => `${curve.x(bin.confidence)},${curve.y(100 * bin.rate)}`).join(" "),
    }),
  );
  const amounts = plot({
    name: "Words by confidence",
    x: { low: 0, high: 1, label: "confidence of a recognized word" },
    y: { low: 0, high: Math.max(...filled.map((bin) => bin.count)), label: "words" },
  });
  for (const bin of filled) {
    const text = `confidence ${bin.low.toFixed(1)} to ${bin.high.toFixed(1)}, ${bin.confidence.toFixed(3)} on average: ${percent(bin.rate)} right, ${between(bin.interval)}, ${counted(bin.count, "word")}`;
    const at = curve.x(bin.confidence);
    curve.svg.append(
      shape(
        "g",
        {},
        shape("title", {}, text),
        shape("line", {
          class: "whisker",
          x1: at,
          x2: at,
          y1: curve.y(100 * bin.interval[0]),
          y2: curve.y(100 * bin.interval[1]),
        }),
        shape("circle", { class: "mark", cx: at, cy: curve.y(100 * bin.rate), r: 5 }),
      ),
    );
    amounts.svg.append(
      shape(
        "rect",
        {
          class: "amount",
          x: amounts.x(bin.low) + 1,
          width: amounts.x(0.1) - amounts.x(0) - 2,
          y: amounts.y(bin.count),
          height: amounts.bottom - amounts.y(bin.count),
        },
        shape("title", {}, text),
      ),
    );
  }
  byId("confidence").append(
    card(
      `Reliability: expected calibration error ${percent(found.error)}`,
      curve.svg,
      element(
        "p",
        { class: "quiet" },
        "Dots above the dashed line: words are right more often than the confidence says; below: less often. Bars: 95 % intervals (Wilson).",
      ),
    ),
    card(`Distribution: ${counted(found.words, "word")}`, amounts.svg),
  );
}
