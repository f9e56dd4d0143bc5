/* Recordings that stand in the page: their samples, and their short-time power spectrum in decibels. */
const RANGE = 80; // dB below the loudest that are shown
const WINDOW = 0.025; // seconds, Hann

/* Put a recording into a player, and return its samples; `text` is base64 of a file in a format of the browser's. */
async function listen(player, text, type, rate) {
  const content = bytes(text);
  player.src = URL.createObjectURL(new Blob([content], { type }));
  const decoded = await new OfflineAudioContext(1, 1, rate).decodeAudioData(content.buffer);
  return { samples: decoded.getChannelData(0), rate, loudest: null };
}

/* Shares of `RANGE`, `(bins, columns)`, at places evenly spread from one time to another, in seconds, relative to the
   loudest of all that was looked at first, which should be the whole. */
function spectrum(sound, from, to, columns) {
  const { samples, rate } = sound,
    span = Math.round(WINDOW * rate),
    size = 2 ** Math.ceil(Math.log2(span)),
    bins = size / 2;
  const hann = Float64Array.from(
    { length: span },
    (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 0.5)) / span),
  );
  const levels = new Float32Array(bins * columns),
    real = new Float64Array(size),
    imaginary = new Float64Array(size);
  let loudest = -Infinity;
  for (let column = 0; column < columns; column++) {
    const first = Math.round((from + ((column + 0.5) / columns) * (to - from)) * rate - span / 2);
    real.fill(0);
    imaginary.fill(0);
    for (let i = 0; i < span; i++) real[i] = hann[i] * (samples[first + i] ?? 0);
    fourier(real, imaginary);
    for (let bin = 0; bin < bins; bin++) {
      const level = 10 * Math.log10(real[bin] ** 2 + imaginary[bin] ** 2 + 1e-12);
      levels[bin * columns + column] = level;
      loudest = Math.max(loudest, level);
    }
  }
  sound.loudest ??= Math.max(loudest, -40); // so that digital silence is not black
  return { bins, levels: levels.map((level) => 1 + (level - sound.loudest) / RANGE) };
}

/* Draw a spectrogram of a stretch of time; what was drawn last is kept. */
function drawSpectrogram(pen, sound, from, to, width, height) {
  const most = Math.max(1, Math.floor((to - from) / 0.002)); // columns: 2 ms are all that the window tells apart
  const columns = clamp(Math.round(width * (window.devicePixelRatio || 1)), 1, most);
  const key = [from, to, columns, colorOf("weak")].join(" ");
  if (sound.drawn?.key !== key) {
    const { bins, levels } = spectrum(sound, from, to, columns);
    sound.drawn = { key, image: picture(levels, bins, columns, palettes.loud()) };
  }
  pen.imageSmoothingQuality = "high";
  pen.drawImage(sound.drawn.image, 0, 0, width, height);
}

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
