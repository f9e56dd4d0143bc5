/* Heat maps: numbers as the colors of a canvas. */
const colorOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const VIRIDIS = ["#440154", "#482475", "#414487", "#355f8d", "#2a788e", "#21918c", "#22a884", "#44bf70", "#7ad151",
  "#bddf26", "#fde725"]; // prettier-ignore

/* 256 colors between anchors, [r, g, b] each. */
function gradient(anchors) {
  const points = anchors.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  return Array.from({ length: 256 }, (_, index) => {
    const place = (index / 255) * (points.length - 1),
      left = Math.min(Math.floor(place), points.length - 2);
    return points[left].map((value, k) => Math.round(value + (place - left) * (points[left + 1][k] - value)));
  });
}
const palettes = {
  share: () => gradient(VIRIDIS),
  signed: () => gradient([colorOf("low"), colorOf("middle"), colorOf("high")]),
  loud: () => gradient([colorOf("weak"), colorOf("strong")]),
};

/* Shares in [0, 1], `(rows, columns)`, as a picture of that size, the first row at the bottom. */
function picture(shares, rows, columns, palette) {
  const canvas = element("canvas", { width: Math.max(columns, 1), height: Math.max(rows, 1) });
  const pen = canvas.getContext("2d"),
    image = pen.createImageData(canvas.width, canvas.height);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const at = 4 * ((rows - 1 - row) * columns + column);
      const [red, green, blue] = palette[Math.round(255 * clamp(shares[row * columns + column], 0, 1))];
      image.data[at] = red;
      image.data[at + 1] = green;
      image.data[at + 2] = blue;
      image.data[at + 3] = 255;
    }
  pen.putImageData(image, 0, 0);
  return canvas;
}

/* A canvas as large as an element's place for it, and its pen in CSS pixels. */
function penOn(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  return pen;
}

/* Draw the columns [from, to) of a picture: columns stay sharp, rows are averaged if they can be. */
function spread(pen, image, from, to, width, height, averaged) {
  const squeezed = element("canvas", {
    width: image.width,
    height: Math.min(image.height, Math.round(height * (window.devicePixelRatio || 1))),
  });
  const inner = squeezed.getContext("2d");
  inner.imageSmoothingEnabled = averaged;
  inner.imageSmoothingQuality = "high";
  inner.drawImage(image, 0, 0, squeezed.width, squeezed.height);
  pen.imageSmoothingEnabled = to - from > 2 * width;
  const wide = width / (to - from);
  pen.drawImage(squeezed, -from * wide, 0, image.width * wide, height);
}

/* The colors of a palette from its low to its high end, named, at the right of a chart. */
function colorBar(chart, name, low, high, unit = "") {
  const anchors = { share: VIRIDIS, signed: ["low", "middle", "high"], loud: ["weak", "strong"] }[name];
  const stops = anchors.map((color, index) =>
    shape("stop", {
      offset: index / (anchors.length - 1),
      style: `stop-color:${color.startsWith("#") ? color : `var(--${color})`}`,
    }),
  );
  const id = `bar-${name}`,
    x = chart.right + 8;
  chart.svg.append(
    shape("linearGradient", { id, x1: 0, x2: 0, y1: 1, y2: 0 }, ...stops),
    shape("rect", { x, y: chart.top, width: 9, height: chart.height, fill: `url(#${id})` }),
    shape("text", { class: "quiet", x: x + 13, y: chart.top + 9 }, high),
    shape("text", { class: "quiet", x: x + 13, y: chart.bottom - 1 }, low),
    shape("text", { class: "quiet", x: x + 13, y: (chart.top + chart.bottom) / 2 + 4 }, unit),
  );
}
