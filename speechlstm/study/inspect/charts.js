"use strict";
// Axes, colours and lines on canvases. Sizes are in CSS pixels; colours are names of the style sheet's variables.

const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const rgb = hex => [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16));
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// 256 colours between anchors, [r, g, b] each.
function gradient(anchors) {
  const points = anchors.map(rgb), last = points.length - 1;
  return Array.from({length: 256}, (_, index) => {
    const place = index / 255 * last, left = Math.min(Math.floor(place), last - 1), part = place - left;
    return points[left].map((value, k) => Math.round(value + part * (points[left + 1][k] - value)));
  });
}

const VIRIDIS = ["#440154", "#482475", "#414487", "#355f8d", "#2a788e", "#21918c", "#22a884", "#44bf70", "#7ad151",
  "#bddf26", "#fde725"];
const palettes = {
  share: () => gradient(VIRIDIS),
  signed: () => gradient([colour("low"), colour("middle"), colour("high")]),
  loud: () => gradient([colour("weak"), colour("strong")]),
};

// Round numbers within [low, high], about as many as wanted.
function ticks(low, high, wanted) {
  const raw = (high - low) / wanted, size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(k => k * size).find(each => each >= raw * 0.999);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(Number((k * step).toPrecision(12)));
  return found;
}

// A canvas of the given height, cleared, and the pen on it.
function pen(canvas, height) {
  const ratio = devicePixelRatio || 1, width = canvas.clientWidth;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.font = '12px system-ui, "DejaVu Sans", sans-serif';
  return [context, width];
}

function write(context, text, x, y, {align = "left", base = "middle", ink = "muted"} = {}) {
  context.fillStyle = colour(ink);
  context.textAlign = align;
  context.textBaseline = base;
  context.fillText(text, x, y);
}

function rule(context, x1, y1, x2, y2, ink = "line") {
  context.strokeStyle = colour(ink);
  context.lineWidth = 1;
  context.setLineDash([]);
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}

// Marks at the left of an area, with a line across it for each: [[value, text], ...].
function leftAxis(context, area, place, marks, across = true) {
  for (const [value, text] of marks) {
    const y = place(value);
    if (across) rule(context, area.left, y, area.right, y);
    write(context, text, area.left - 6, clamp(y, area.top + 5, area.bottom - 5), {align: "right"});
  }
}

function sideways(context, text, x, y) {
  context.save();
  context.translate(x, y);
  context.rotate(-Math.PI / 2);
  write(context, text, 0, 0, {align: "center"});
  context.restore();
}

// A bar of the palette's colours with its ends named, in the right margin.
function scale(context, area, palette, low, high, unit) {
  const x = area.right + 8;
  for (let k = 0; k < area.height; k++) {
    context.fillStyle = `rgb(${palette[Math.round(255 * (1 - k / area.height))]})`;
    context.fillRect(x, area.top + k, 9, 1.5);
  }
  write(context, high, x + 13, area.top + 6);
  write(context, low, x + 13, area.bottom - 6);
  if (unit) sideways(context, unit, x + 19, (area.top + area.bottom) / 2);
}

// Bytes (rows, columns) as a picture of that size, the first row at the bottom.
function picture(bytes, rows, columns, palette) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.max(columns, 1), Math.max(rows, 1)];
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = 4 * ((rows - 1 - row) * columns + column);
      image.data.set(palette[bytes[row * columns + column]], at);
      image.data[at + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

// Draw the columns [from, to) of a picture into an area: columns stay sharp, rows are averaged if they can be.
function spread(context, image, from, to, area, averaged) {
  const rows = Math.min(image.height, Math.round(area.height * (devicePixelRatio || 1)));
  const squeezed = document.createElement("canvas");
  [squeezed.width, squeezed.height] = [image.width, rows];
  const inner = squeezed.getContext("2d");
  inner.imageSmoothingEnabled = averaged;
  inner.imageSmoothingQuality = "high";
  inner.drawImage(image, 0, 0, image.width, rows);
  context.save();
  context.beginPath();
  context.rect(area.left, area.top, area.width, area.height);
  context.clip();
  context.imageSmoothingEnabled = to - from > 2 * area.width;
  const wide = area.width / (to - from);
  context.drawImage(squeezed, area.left - from * wide, area.top, image.width * wide, area.height);
  context.restore();
}

function line(context, points, ink, {width = 1.5, dash = []} = {}) {
  context.strokeStyle = colour(ink);
  context.lineWidth = width;
  context.setLineDash(dash);
  context.lineJoin = "round";
  context.beginPath();
  points.forEach(([x, y], k) => k ? context.lineTo(x, y) : context.moveTo(x, y));
  context.stroke();
  context.setLineDash([]);
}

// A chart with two axes. x and y: {low, high, marks: [[value, text], ...], label, log}; series: {points, ink, width,
// dash, marker}.
function chart(canvas, height, x, y, series) {
  const [context, width] = pen(canvas, height);
  const area = {left: 52, right: width - 12, top: 8, bottom: height - 40};
  const along = (axis, value) => axis.log ? Math.log(value / axis.low) / Math.log(axis.high / axis.low)
    : (value - axis.low) / (axis.high - axis.low);
  const px = value => area.left + along(x, value) * (area.right - area.left);
  const py = value => area.bottom - along(y, value) * (area.bottom - area.top);
  leftAxis(context, area, py, y.marks);
  for (const [value, text] of x.marks) {
    rule(context, px(value), area.top, px(value), area.bottom + 4);
    const align = px(value) > width - 24 ? "right" : "center";
    write(context, text, align === "right" ? width - 2 : px(value), area.bottom + 13, {align});
  }
  write(context, x.label, (area.left + area.right) / 2, height - 8, {align: "center"});
  sideways(context, y.label, 8, (area.top + area.bottom) / 2);
  for (const {points, ink, marker, ...style} of series) {
    const places = points.map(([a, b]) => [px(clamp(a, x.low, x.high)), py(clamp(b, y.low, y.high))]);
    if (!marker) line(context, places, ink, style);
    context.fillStyle = colour(ink);
    for (const [a, b] of marker ? places : []) {
      context.globalAlpha = 0.55;
      context.beginPath();
      if (marker === "square") context.rect(a - 2, b - 2, 4, 4);
      else if (marker === "triangle") [[0, -3], [3, 2.5], [-3, 2.5]].forEach(([u, v]) => context.lineTo(a + u, b + v));
      else context.arc(a, b, 2.3, 0, 7);
      context.fill();
      context.globalAlpha = 1;
    }
  }
}

