/* The short-time power spectrum of a recording: Hann windows of 25 ms, 70 dB from the loudest down. */
const VIRIDIS = [
  "#440154",
  "#482878",
  "#3e4989",
  "#31688e",
  "#26828e",
  "#1f9e89",
  "#35b779",
  "#6ece58",
  "#b5de2b",
  "#fde725",
].map((colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)));
const RANGE = 70; // dB

const spectrogram = {
  edges: { left: 52, right: 12, top: 22, bottom: 40 },

  place(seconds, canvas, { seconds: total }) {
    const { left, right } = this.edges;
    return left + (seconds / total) * (canvas.clientWidth - left - right);
  },

  time(x, canvas, { seconds: total }) {
    const { left, right } = this.edges;
    return ((x - left) / (canvas.clientWidth - left - right)) * total;
  },

  draw(picture) {
    const { canvas, seconds, rate, words } = picture,
      { left, right, top, bottom } = this.edges;
    const scale = window.devicePixelRatio || 1,
      width = canvas.clientWidth,
      height = canvas.clientHeight;
    if (!width) return;
    canvas.width = width * scale;
    canvas.height = height * scale;
    const pen = canvas.getContext("2d"),
      style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    pen.scale(scale, scale);
    pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const image = this.image(picture, Math.max(1, Math.round((width - left - right) * scale)));
    pen.imageSmoothingQuality = "high";
    pen.drawImage(image, left, top, width - left - right, height - top - bottom);
    pen.fillStyle = pen.strokeStyle = colour("quiet");
    const across = ticks(0, seconds, Math.max(3, width / 110)),
      up = ticks(0, rate / 2000, 4);
    pen.textAlign = "center";
    for (const value of across.found) {
      const x = this.place(value, canvas, picture);
      pen.fillRect(x - 0.5, height - bottom, 1, 4);
      pen.fillText(label(value, across.step), x, height - bottom + 16);
    }
    pen.textAlign = "right";
    for (const value of up.found) {
      const y = height - bottom - (value / (rate / 2000)) * (height - top - bottom);
      pen.fillRect(left - 4, y - 0.5, 4, 1);
      pen.fillText(label(value, up.step), left - 7, y + 4);
    }
    pen.fillStyle = colour("text");
    pen.textAlign = "center";
    pen.fillText("time (s)", (left + width - right) / 2, height - 6);
    pen.save();
    pen.rotate(-Math.PI / 2);
    pen.fillText("frequency (kHz)", -(top + height - bottom) / 2, 13);
    pen.restore();
    for (const word of words) {
      const [start, end] = [this.place(word.start, canvas, picture), this.place(word.end, canvas, picture)];
      pen.fillStyle = colour(word.letter === "=" ? "text" : word.letter);
      pen.fillRect(start, top - 4, Math.max(1, end - start - 1), word.letter === "=" ? 1 : 3);
      let text = word.text;
      while (text.length > 1 && pen.measureText(text).width > Math.max(end - start, 12))
        text = text.slice(0, text.length > 2 ? -2 : -1) + (text.length > 2 ? "…" : "");
      pen.fillText(text, (start + end) / 2, top - 8);
    }
  },

  /* A canvas with a column for each of `columns` places in time, so that long recordings cost no more. */
  image({ samples, rate }, columns) {
    const window_ = Math.round(0.025 * rate),
      size = 2 ** Math.ceil(Math.log2(window_)),
      bins = size / 2;
    const count = Math.min(columns, Math.max(1, Math.floor(samples.length / (0.002 * rate))));
    const hann = Float64Array.from(
      { length: window_ },
      (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 0.5)) / window_),
    );
    const levels = new Float64Array(count * bins),
      real = new Float64Array(size),
      imaginary = new Float64Array(size);
    let loudest = -Infinity;
    for (let column = 0; column < count; column++) {
      const first = Math.round(((column + 0.5) / count) * samples.length - window_ / 2);
      real.fill(0);
      imaginary.fill(0);
      for (let i = 0; i < window_; i++) real[i] = hann[i] * (samples[first + i] ?? 0);
      fourier(real, imaginary);
      for (let bin = 0; bin < bins; bin++) {
        const level = 10 * Math.log10(real[bin] ** 2 + imaginary[bin] ** 2 + 1e-12);
        levels[column * bins + bin] = level;
        loudest = Math.max(loudest, level);
      }
    }
    const canvas = element("canvas", { width: count, height: bins }),
      pen = canvas.getContext("2d");
    const pixels = pen.createImageData(count, bins);
    for (let column = 0; column < count; column++)
      for (let bin = 0; bin < bins; bin++) {
        const strength =
          Math.min(1, Math.max(0, 1 + (levels[column * bins + bin] - loudest) / RANGE)) *
          (VIRIDIS.length - 1);
        const low = Math.min(Math.floor(strength), VIRIDIS.length - 2),
          share = strength - low,
          at = 4 * ((bins - 1 - bin) * count + column);
        for (let part = 0; part < 3; part++)
          pixels.data[at + part] = VIRIDIS[low][part] * (1 - share) + VIRIDIS[low + 1][part] * share;
        pixels.data[at + 3] = 255;
      }
    pen.putImageData(pixels, 0, 0);
    return canvas;
  },
};

/* The discrete Fourier transform in place, a power of two long (Cooley and Tukey 1965). */
function fourier(real, imaginary) {
  const size = real.length;
  for (let i = 1, j = 0; i < size; i++) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let length = 2; length <= size; length *= 2)
    for (let k = 0; k < length / 2; k++) {
      const cosine = Math.cos((-2 * Math.PI * k) / length),
        sine = Math.sin((-2 * Math.PI * k) / length);
      for (let start = k; start < size; start += length) {
        const other = start + length / 2;
        const re = cosine * real[other] - sine * imaginary[other],
          im = cosine * imaginary[other] + sine * real[other];
        real[other] = real[start] - re;
        imaginary[other] = imaginary[start] - im;
        real[start] += re;
        imaginary[start] += im;
      }
    }
}
