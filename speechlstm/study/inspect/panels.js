"use strict";
// Panels: all have the time axis of the recording.

const GUTTER = {left: 62, right: 58};
const area = (width, height) => ({
  left: GUTTER.left, right: width - GUTTER.right, width: width - GUTTER.left - GUTTER.right, top: 2, bottom: height - 2, height: height - 4,
});
const timeToX = (time, box) => box.left + (time - state.from) / (state.to - state.from) * box.width;
const frameAt = (time, shift, count) => clamp(Math.round(time / shift), 0, count - 1);

function heat(context, box, part, palette) {
  const image = keep(`${palette.name} ${part.data}`, () => picture(values(part.data), part.rows, part.columns, palette.colours));
  spread(context, image, state.from / part.shift + 0.5, state.to / part.shift + 0.5, box, !palette.name.startsWith("signed")); // a frame is centred on its time
}
const named = name => ({name: `${name} ${colour("paper")}`, colours: keep(`palette ${name} ${colour("paper")}`, palettes[name])});

function curve(context, box, list, shift, low, high, ink, style) {
  const place = value => box.bottom - (clamp(value, low, high) - low) / (high - low) * box.height;
  context.save();
  context.beginPath();
  context.rect(box.left, box.top - 1, box.width, box.height + 2);
  context.clip();
  const first = Math.max(0, Math.floor(state.from / shift) - 1), last = Math.ceil(state.to / shift) + 2;
  const points = [];
  for (let k = first; k < Math.min(last, list.length); k++) points.push([timeToX(k * shift, box), place(list[k])]);
  line(context, points, ink, style);
  context.restore();
}

const reachesOf = word => data.reaches.findIndex(reach => reach.seconds >= word.start - data.frameShift && reach.seconds <= word.end + data.frameShift);

const words = {
  height: 30, caption: "<b>Words</b>, and how sure the recogniser is of them",
  draw(context, box) {
    for (const word of data.words) {
      const x = timeToX(word.start, box), end = timeToX(word.end, box);
      if (end < box.left || x > box.right) continue;
      const left = Math.max(x, box.left), wide = Math.max(Math.min(end, box.right) - left - 1, 2);
      context.fillStyle = colour("raised");
      context.fillRect(left, box.top, wide, box.height);
      context.fillStyle = colour("blue");
      context.fillRect(left, box.bottom - 3, wide * word.confidence, 3);
      context.save();
      context.beginPath();
      context.rect(left, box.top, wide, box.height);
      context.clip();
      const fits = context.measureText(word.text).width < wide;
      write(context, word.text, fits ? left + wide / 2 : left + 2, box.top + 11, {align: fits ? "center" : "left", ink: "ink"});
      context.restore();
    }
  },
  read(time) {
    const word = data.words.find(each => each.start <= time && time < each.end);
    return word ? `“${word.text}” ${Math.round(100 * word.confidence)} %` : "";
  },
};

const times = {
  height: 20, caption: "",
  draw(context, box) {
    for (const time of ticks(state.from, state.to, Math.max(3, box.width / 110))) {
      rule(context, timeToX(time, box), 0, timeToX(time, box), 4);
      write(context, `${time} s`, timeToX(time, box), 12, {align: "center"});
    }
  },
};

const waveform = {
  height: 60, caption: "<b>Waveform</b>, 1 is full scale",
  draw(context, box) {
    const envelope = values(data.waveform.data), middle = (box.top + box.bottom) / 2;
    const peak = data.waveform.peak;
    leftAxis(context, box, value => middle - value / peak * box.height / 2, [[peak, number(peak)], [-peak, `−${number(peak)}`]], false);
    rule(context, box.left, middle, box.right, middle);
    context.fillStyle = colour("ink");
    const wide = Math.max(1, box.width * data.waveform.shift / (state.to - state.from));
    for (let k = 0; k < envelope.length / 2; k++) {
      const x = timeToX(k * data.waveform.shift, box);
      if (x < box.left || x + wide > box.right + 1) continue;
      const low = (envelope[2 * k] - 127.5) / 127.5, high = (envelope[2 * k + 1] - 127.5) / 127.5;
      context.fillRect(x, middle - high * box.height / 2, wide, Math.max((high - low) * box.height / 2, 0.7));
    }
  },
};

const spectrogram = {
  height: 130, caption: "<b>Spectrogram</b>, decibels below the loudest",
  draw(context, box) {
    const {data: content, rows, columns, shift, top, range} = data.spectrogram;
    heat(context, box, {data: content, rows, columns, shift}, named("loud"));
    leftAxis(context, box, value => box.bottom - value / top * box.height, ticks(0, top, 5).map(value => [value, `${value / 1000} kHz`]), false);
    scale(context, box, named("loud").colours, `−${range}`, "0", "dB");
  },
};

const posteriors = {
  height: 140, caption: "<b>CTC output</b>: probability of each token in each frame; dashed the blank, which says nothing",
  draw(context, box) {
    const {names, columns} = data.posteriors, table = values(data.posteriors.data), ceiling = box.top + 30;
    box = {...box, top: ceiling, height: box.bottom - ceiling};
    leftAxis(context, box, value => box.bottom - value * box.height, [[0, "0"], [0.5, "0.5"], [1, "1"]]);
    const row = k => table.subarray(k * columns, (k + 1) * columns);
    curve(context, box, row(0), data.frameShift, 0, 255, "muted", {dash: [3, 3], width: 1});
    const inks = ["blue", "orange", "green", "purple"];
    names.forEach((name, k) => { if (k) curve(context, box, row(k), data.frameShift, 0, 255, inks[k % 4], {width: 1.8}); });
    const free = [0, 0]; // where each of the lines above ends that names the peaks
    for (const peak of data.posteriors.peaks) {
      const x = timeToX(peak.frame * data.frameShift, box);
      if (x < box.left || x > box.right) continue;
      const name = names[peak.row], half = context.measureText(name).width / 2, lane = free.findIndex(end => x - half > end);
      if (lane < 0) continue;
      free[lane] = x + half + 4;
      write(context, name, x, box.top - 8 - 14 * lane, {align: "center", ink: inks[peak.row % 4]});
    }
  },
  read(time) {
    const {names, columns} = data.posteriors, table = values(data.posteriors.data), frame = frameAt(time, data.frameShift, columns);
    const order = names.map((_, k) => [table[k * columns + frame] / 255, k]).sort((a, b) => b[0] - a[0]).slice(0, 3);
    return order.filter(([share]) => share > 0.004).map(([share, k]) => `${names[k]} ${number(share)}`).join("  ");
  },
};

function part(name, caption, height) {
  return {
    height, caption: () => `<b>${caption[0]}</b>${caption[1]} · ${label(chosen())}`,
    shown: () => name in chosen().parts,
    draw(context, box) {
      const {columns, shift} = chosen(), {data: content, rows, limit} = chosen().parts[name];
      const palette = named(limit ? "signed" : "share");
      heat(context, box, {data: content, rows, columns, shift}, palette);
      leftAxis(context, box, value => box.bottom - value / rows * box.height, [[0, "1"], [rows, `${rows}`]], false);
      sideways(context, "unit", 14, (box.top + box.bottom) / 2);
      scale(context, box, palette.colours, limit ? `−${number(limit, 1)}` : "0", limit ? `+${number(limit, 1)}` : "1", "");
    },
    read(time, along) {
      const {columns, shift, halfLife} = chosen(), {data: content, rows, limit} = chosen().parts[name];
      const unit = clamp(Math.floor(along * rows), 0, rows - 1);
      const level = values(content)[unit * columns + frameAt(time, shift, columns)] / 255;
      const life = halfLife ? `, half-life ${milliseconds(halfLife[unit])} ms` : "";
      const beyond = limit && (level === 0 || level === 1) ? " or beyond" : ""; // not told apart: see limit_of
      return `unit ${unit + 1}${life}: ${name} ${number(limit ? (2 * level - 1) * limit : level)}${beyond}`;
    },
  };
}

const sorted = "; units from those that forget fast, below, to those that remember";
const PARTS = [
  part("input", ["Input gate i", ": the share of the candidate values that is written"], 120),
  part("forget", ["Forget gate f", `: the share of the memory that is kept${sorted}`], 120),
  part("output", ["Output gate o", ": the share of the memory that is shown"], 120),
  part("cell", ["Cell state c", ": the memory itself; coloured up to ±3, from where tanh(c) is flat"], 120),
  part("reset", ["Reset gate r", ": the share of the state that the candidate hears"], 120),
  part("update", ["Update gate z", `: the share of the state that is kept${sorted}`], 120),
  part("hidden", ["Hidden state h", ""], 120),
];

const direction = {
  height: 70, shown: () => data.layers.length && chosen().layer in data.shares,
  caption: () => `<b>Contribution of each direction</b> of layer ${chosen().layer} to what is heard: blue forward, from the past; orange backward, from the future`,
  draw(context, box) {
    leftAxis(context, box, value => box.bottom - value * box.height, [[0, "0 %"], [0.5, "50 %"], [1, "100 %"]]);
    const list = values(data.shares[chosen().layer].forward), end = Math.min(box.right, timeToX((list.length - 0.5) * data.frameShift, box));
    const points = [...list].map((share, k) => [timeToX(k * data.frameShift, box), box.bottom - share / 255 * box.height]);
    context.save();
    context.beginPath();
    context.rect(box.left, box.top, end - box.left, box.height);
    context.clip();
    context.globalAlpha = 0.75;
    for (const [ink, edge] of [["blue", box.bottom], ["orange", box.top]]) {
      context.fillStyle = colour(ink);
      context.beginPath();
      context.moveTo(points[0][0] - 1000, edge);
      [[points[0][0] - 1000, points[0][1]], ...points, [end, points.at(-1)[1]], [end, edge]].forEach(([x, y]) => context.lineTo(x, y));
      context.fill();
    }
    context.restore();
    rule(context, box.left, (box.top + box.bottom) / 2, box.right, (box.top + box.bottom) / 2, "paper");
    write(context, "future", box.right + 6, box.top + 8);
    write(context, "past", box.right + 6, box.bottom - 8);
  },
  read(time) {
    const list = values(data.shares[chosen().layer].forward);
    return `forward ${Math.round(list[frameAt(time, data.frameShift, list.length)] / 2.55)} %`;
  },
};

const reach = {
  height: 100, shown: () => data.reaches.length > 0,
  caption() {
    const {token, seconds, half, most} = data.reaches[state.reach];
    const way = ([back, ahead]) => `${Math.round(back * 1000)} ms before to ${Math.round(ahead * 1000)} ms after`;
    return `<b>What “${escaped(token)}” at ${number(seconds)} s rests on</b>: size of the gradient by the input. Half of it comes from ${way(half)}, 90 % from ${way(most)}`;
  },
  draw(context, box) {
    const {levels, seconds} = data.reaches[state.reach], decades = data.reachDecades;
    leftAxis(context, box, value => box.bottom - (value + decades) / decades * box.height,
      Array.from({length: decades + 1}, (_, k) => [-k, k ? `10${[..."⁰¹²³⁴⁵⁶"][k].replace(/^/, "⁻")}` : "1"]));
    const x = timeToX(seconds, box);
    if (x >= box.left && x <= box.right) rule(context, x, box.top, x, box.bottom, "orange");
    curve(context, box, values(levels), data.featureShift, 0, 255, "blue");
  },
};

const escaped = text => { const span = element("span", text); return span.innerHTML; };
const label = ({layer, direction}) => `layer ${layer} ${direction}`;
const panels = [words, times, waveform, spectrogram, posteriors, ...(data.layers.length ? [...PARTS, direction] : []), reach, {...times}];
