/* Charts of the error rate by what it may depend on. */
const quantities = {
  seconds: ["duration", "duration (s)", 1],
  snr: ["signal-to-noise ratio", "signal-to-noise ratio, estimated (dB)", 1],
  speed: ["speaking rate", "words per second of audio", 2],
};
const described = (group) =>
  `${percent(group.rate)}, ${between(group.interval)}; ${counted(group.utterances, "utterance")}, ${counted(group.errors, "error")}, ${counted(group.length, "word")}`;

function groups() {
  if (data.groups.speaker.length)
    byId("groups").append(card("By speaker", ...speakerChart(data.groups.speaker)));
  for (const [key, [name, axis, digits]] of Object.entries(quantities)) {
    const found = data.groups[key].filter((group) => group.rate !== null);
    if (found.length) byId("groups").append(card(`By ${name}`, rangeChart(found, key, name, axis, digits)));
  }
}

/* The error rate over ranges of a quantity: a faint line as wide as the range, a bar for the interval. */
function rangeChart(found, key, name, axis, digits) {
  const low = found[0].low,
    high = found.at(-1).high,
    room = (high - low) * 0.03 || 0.5;
  const { svg, x, y, top, bottom } = plot({
    name: `Word error rate by ${name}`,
    x: { low: low - room, high: high + room, label: axis },
    y: { low: 0, high: ceiling(found), label: RATES },
  });
  for (const [index, group] of found.entries()) {
    const last = index === found.length - 1,
      at = x(group.middle),
      height = y(100 * group.rate);
    const text = `${decimal(group.low, digits)} to ${decimal(group.high, digits)}`;
    const filter = {
      name: `${name} ${text}`,
      holds: (u) =>
        u[key] !== null &&
        u[key] >= group.low - 5e-4 &&
        (last ? u[key] <= group.high + 5e-4 : u[key] < group.high - 5e-4),
    };
    svg.append(
      shape(
        "g",
        {
          role: "button",
          tabindex: 0,
          "aria-label": `${text}: ${described(group)}`,
          ...pressed(() => table.filter(filter)),
        },
        shape("title", {}, `${text}: ${described(group)}`),
        shape("rect", {
          class: "hover",
          opacity: 0.5,
          x: x(group.low),
          width: Math.max(6, x(group.high) - x(group.low)),
          y: top,
          height: bottom - top,
        }),
        shape("line", { class: "span", x1: x(group.low), x2: x(group.high), y1: height, y2: height }),
        group.interval
          ? shape("line", {
              class: "whisker",
              x1: at,
              x2: at,
              y1: y(100 * group.interval[0]),
              y2: y(100 * group.interval[1]),
            })
          : null,
        shape("circle", { class: "mark", cx: at, cy: height, r: 5 }),
      ),
    );
  }
  return svg;
}

/* A row for each speaker, which scroll; the axis below stays. */
function speakerChart(found) {
  const width = 560,
    left = 130,
    right = 66,
    row = 22,
    most = ceiling(found);
  const x = (value) => left + (value / most) * (width - left - right);
  const { step, found: marks } = ticks(0, most);
  const rows = shape("svg", {
    viewBox: `0 0 ${width} ${found.length * row}`,
    role: "group",
    "aria-label": "Word error rate by speaker",
  });
  for (const value of marks)
    rows.append(shape("line", { class: "grid", x1: x(value), x2: x(value), y1: 0, y2: found.length * row }));
  for (const [index, group] of found.entries()) {
    const middle = index * row + row / 2,
      name = group.label.length > 17 ? `${group.label.slice(0, 16)}…` : group.label;
    const filter = { name: `speaker ${group.label}`, holds: (u) => u.speaker === group.label };
    rows.append(
      shape(
        "g",
        {
          role: "button",
          tabindex: 0,
          "aria-label": `${group.label}: ${described(group)}`,
          ...pressed(() => table.filter(filter)),
        },
        shape("title", {}, `${group.label}: ${described(group)}`),
        shape("rect", { class: "hover", opacity: 0.5, x: 0, width, y: index * row, height: row }),
        shape("text", { x: left - 8, y: middle + 4, "text-anchor": "end" }, name),
        group.interval
          ? shape("line", {
              class: "whisker",
              x1: x(100 * group.interval[0]),
              x2: x(100 * group.interval[1]),
              y1: middle,
              y2: middle,
            })
          : null,
        group.rate === null
          ? null
          : shape("circle", { class: "mark", cx: x(100 * group.rate), cy: middle, r: 4.5 }),
        shape(
          "text",
          { class: "quiet", x: width - 4, y: middle + 4, "text-anchor": "end" },
          percent(group.rate, 1),
        ),
      ),
    );
  }
  const axis = shape(
    "svg",
    { viewBox: `0 0 ${width} 42`, "aria-hidden": "true" },
    shape("line", { class: "axis", x1: left, x2: width - right, y1: 1, y2: 1 }),
  );
  for (const value of marks)
    axis.append(
      shape("text", { class: "quiet", x: x(value), y: 16, "text-anchor": "middle" }, label(value, step)),
    );
  axis.append(
    shape("text", { x: (left + width - right) / 2, y: 35, "text-anchor": "middle" }, "word error rate (%)"),
  );
  return [element("div", { class: "rows" }, rows), axis];
}
