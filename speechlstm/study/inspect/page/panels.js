/* Panels, one below the other, on one time axis. Heat maps are drawn as pixels, all else as lines and shapes. */
const GUTTER = { left: 62, right: 58, top: 2, bottom: 2 };
const stack = byId("panels");

function axesOf(panel) {
  return plot({
    name: panel.figcaption.textContent,
    x: { low: state.from, high: state.to, marks: [] },
    y: { low: 0, high: 1, ...panel.y?.() },
    width: Math.max(stack.clientWidth, 200),
    height: panel.height,
    edges: GUTTER,
  });
}

/* A line through numbers that are `shift` seconds apart, where it is seen. */
function curve(chart, list, shift, ink, width, dashes) {
  const first = Math.max(0, Math.floor(state.from / shift) - 1),
    points = [];
  for (let k = first; k < Math.min(Math.ceil(state.to / shift) + 2, list.length); k++)
    points.push([k * shift, list[k]]);
  chart.inside.append(line(chart, points, ink, width, dashes));
}

const words = {
  height: 30,
  caption: () => ["Words", ", and how sure the recognizer is of them"],
  draw(chart) {
    for (const word of data.words) {
      const left = Math.max(chart.x(word.start), chart.left),
        wide = Math.min(chart.x(word.end), chart.right) - left - 1;
      if (wide <= 0) continue;
      const place = { x: left, y: chart.top, width: wide, height: chart.height };
      chart.svg.append(
        shape("rect", { ...place, style: "fill:var(--panel);stroke:var(--line)" }),
        shape("rect", { ...place, y: chart.bottom - 3, width: wide * word.confidence, height: 3, style: "fill:var(--blue)" }),
        shape("svg", place, shape("text", { x: "50%", y: 16, "text-anchor": "middle" }, word.text)),
      );
    }
  },
  read(time) {
    const word = data.words.find((each) => each.start <= time && time < each.end);
    return word ? `“${word.text}” ${percent(word.confidence, 0)}` : "";
  },
};

const times = () => ({
  height: 20,
  caption: () => ["", ""],
  draw(chart) {
    for (const [time, text] of marksOf(state.from, state.to, Math.max(3, chart.width / 110)))
      chart.svg.append(
        shape("line", { class: "axis", x1: chart.x(time), x2: chart.x(time), y1: 0, y2: 4 }),
        shape("text", { class: "quiet", x: chart.x(time), y: 17, "text-anchor": "middle" }, `${text} s`),
      );
  },
});

const waveform = {
  height: 60,
  caption: () => ["Waveform", ", 1 is full scale"],
  peak: () => (sound ? (sound.peak ??= sound.samples.reduce((most, each) => Math.max(most, Math.abs(each)), 1e-4)) : 1),
  y() {
    const peak = this.peak();
    return { low: -peak, high: peak, marks: [[-peak, decimal(-peak, 2)], [peak, decimal(peak, 2)]] };
  },
  pixels(pen, chart) {
    if (!sound) return;
    const [step, middle] = [((state.to - state.from) / chart.width) * sound.rate, chart.height / 2];
    pen.fillStyle = colorOf("ink");
    for (let column = 0; column < chart.width; column++) {
      const first = Math.floor(state.from * sound.rate + column * step);
      let [low, high] = [Infinity, -Infinity];
      for (const sample of sound.samples.subarray(first, Math.max(first + 1, Math.ceil(first + step))))
        [low, high] = [Math.min(low, sample), Math.max(high, sample)];
      if (low > high) break;
      const scale = middle / this.peak();
      pen.fillRect(column, middle - high * scale, 1, Math.max((high - low) * scale, 0.7));
    }
  },
  draw: () => {},
};

const spectrogram = {
  height: 130,
  caption: () => ["Spectrogram", ", decibels relative to the loudest"],
  y: () => ({ low: 0, high: data.sampleRate / 2000, label: "kHz" }),
  pixels(pen, chart) {
    if (sound) drawSpectrogram(pen, sound, state.from, state.to, chart.width, chart.height);
  },
  draw: (chart) => colorBar(chart, "loud", `−${RANGE}`, "0", "dB"),
};

const posteriors = {
  height: 140,
  caption: () => ["CTC output", ": probability of each token in each frame; the dashed line is the blank, which stands for no token"],
  y: () => ({ low: 0, high: 1.35, marks: [[0, "0"], [0.5, "0.5"], [1, "1"]] }),
  draw(chart) {
    const { names, columns, peaks } = data.posteriors,
      row = (k) => Array.from(levels(data.posteriors).subarray(k * columns, (k + 1) * columns), (each) => each / 255);
    const ink = (k) => data.series[k % data.series.length];
    curve(chart, row(0), data.frameShift, "quiet", 1, [3, 3]);
    names.forEach((_, k) => k && curve(chart, row(k), data.frameShift, ink(k), 1.8));
    const free = [0, 0]; // where each of the lines above ends that names the peaks
    for (const peak of peaks) {
      const x = chart.x(peak.frame * data.frameShift),
        half = names[peak.row].length * 3.5,
        lane = free.findIndex((end) => x - half > end);
      if (x < chart.left || x > chart.right || lane < 0) continue;
      free[lane] = x + half + 4;
      const place = { x, y: chart.y(1) - 6 - 13 * lane, "text-anchor": "middle" };
      chart.svg.append(shape("text", { ...place, style: `fill:var(--${ink(peak.row)})` }, names[peak.row]));
    }
  },
  read(time) {
    const { names, columns } = data.posteriors,
      frame = frameAt(time, data.frameShift, columns);
    return names
      .map((name, k) => [levels(data.posteriors)[k * columns + frame] / 255, name])
      .sort((a, b) => b[0] - a[0])
      .filter(([share], k) => k < 3 && share > 0.004)
      .map(([share, name]) => `${name} ${share.toFixed(2)}`)
      .join("  ");
  },
};

/* The heat map of a part of all units. */
const map = ([name, { title, symbol, meaning, note }]) => ({
  height: 120,
  heat: true,
  caption: () => [`${title} ${symbol}`, `: ${meaning}${note && `; ${note}`} · ${nameOf(chosen())}`],
  shown: () => name in chosen().parts,
  y: () => ({ low: 0.5, high: chosen().rows + 0.5, label: "unit", marks: [[1, "1"], [chosen().rows, `${chosen().rows}`]] }),
  pixels(pen, chart) {
    const { rows, columns, shift, parts } = chosen(),
      part = parts[name],
      kind = part.limit ? "signed" : "share";
    const image = keep(part, `${kind} ${colorOf("middle")}`, () => {
      const scaled = part.limit ? values(part).map((value) => (value / part.limit + 1) / 2) : values(part);
      return picture(scaled, rows, columns, palettes[kind]());
    });
    const [from, to] = [state.from / shift + 0.5, state.to / shift + 0.5]; // a frame is centered on its time
    spread(pen, image, from, to, chart.width, chart.height, kind === "share");
  },
  draw(chart) {
    const { limit } = chosen().parts[name];
    if (limit) colorBar(chart, "signed", decimal(-limit, 1), `+${decimal(limit, 1)}`);
    else colorBar(chart, "share", "0", "1");
    const y = chart.y(state.unit + 1);
    chart.svg.append(shape("path", { d: `M${chart.left} ${y}l-6 -4v8z`, style: "fill:var(--orange)" }));
  },
  read(time, along) {
    const { columns, shift, halfLife, rows } = chosen(),
      unit = clamp(Math.floor(along * rows), 0, rows - 1);
    const life = halfLife ? `, half-life ${duration(halfLife[unit])} ms` : "";
    return `unit ${unit + 1}${life}: ${name} ${decimal(at(name, frameAt(time, shift, columns), unit), 2)}`;
  },
});

const direction = {
  height: 70,
  shown: () => data.layers.length && chosen().layer in data.shares,
  caption: () => [
    "Contribution of each direction",
    ` of layer ${chosen().layer} to the output: blue is forward, from the past; orange is backward, from the future`,
  ],
  y: () => ({ low: 0, high: 1, marks: [[0, "0 %"], [0.5, "50 %"], [1, "100 %"]] }),
  draw(chart) {
    const shares = levels(data.shares[chosen().layer]),
      end = (shares.length - 0.5) * data.frameShift;
    const edge = Array.from(shares, (share, k) => [k * data.frameShift, share / 255]);
    edge.unshift([-data.frameShift, edge[0][1]]);
    edge.push([end, edge.at(-1)[1]]);
    for (const [ink, base] of [["blue", 0], ["orange", 1]]) {
      const points = [[-data.frameShift, base], ...edge, [end, base]];
      const area = line(chart, points, ink);
      area.setAttribute("style", `fill:var(--${ink});opacity:.75`);
      chart.inside.append(area);
    }
    chart.inside.append(line(chart, [[state.from, 0.5], [state.to, 0.5]], "panel"));
    for (const [text, y] of [["future", chart.top + 10], ["past", chart.bottom - 2]])
      chart.svg.append(shape("text", { class: "quiet", x: chart.right + 6, y }, text));
  },
  read(time) {
    const shares = levels(data.shares[chosen().layer]);
    return `forward ${percent(shares[frameAt(time, data.frameShift, shares.length)] / 255, 0)}`;
  },
};

const reach = {
  height: 100,
  shown: () => data.reaches.length > 0,
  caption() {
    const { token, seconds, half, most } = data.reaches[state.reach];
    const way = ([back, ahead]) => `${Math.round(back * 1000)} ms before to ${Math.round(ahead * 1000)} ms after`;
    return [
      `What “${token}” at ${decimal(seconds, 2)} s depends on`,
      `: gradient with respect to the input. Half of it comes from ${way(half)}, 90 % from ${way(most)}`,
    ];
  },
  y() {
    const low = 10 ** -data.reachDecades;
    return { low, high: 1, log: true, marks: powersOf(low, 1) };
  },
  draw(chart) {
    const each = data.reaches[state.reach],
      sizes = keep(each, "sizes", () => Array.from(levels(each), (level) => 10 ** ((level / 255 - 1) * data.reachDecades)));
    chart.inside.append(line(chart, [[each.seconds, 10 ** -data.reachDecades], [each.seconds, 1]], "orange", 1));
    curve(chart, sizes, data.featureShift, "blue");
  },
};
