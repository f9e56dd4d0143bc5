/* The chosen utterance: its words one below the other, its sound, and what else was in the running. */
const SOUND_RATE = 16000; // Hz in which a recording is looked at
const LETTERS = { s: "substituted", d: "deleted", i: "inserted" };

const utterance = {
  picture: null, // the recording that is loaded, and where it is drawn
  until: Infinity, // seconds at which a word that is played ends

  show(u) {
    this.picture = null;
    const player = byId("utterance").querySelector("audio");
    if (player) URL.revokeObjectURL(player.src);
    const fact = (name, value) =>
      value === "" ? null : element("span", {}, `${name} `, element("b", { dir: "auto" }, value));
    byId("utterance").replaceChildren(
      element("h3", {}, u.id),
      element(
        "div",
        { class: "facts" },
        fact("word errors", `${u.errors} of ${u.length}`),
        fact("speaker", u.speaker ?? ""),
        fact("duration", `${decimal(u.seconds, 2)} s`),
        fact("SNR", u.snr === null ? "" : `${decimal(u.snr, 1)} dB`),
        fact("rate", u.speed === null ? "" : `${decimal(u.speed, 2)} words/s`),
        fact("file", u.file + (u.offset ? ` from ${u.offset} s` : "")),
      ),
      this.pairs(u.reference, u.hypothesis, u.steps, u.words, two ? "hypothesis here" : "hypothesis"),
      u.other ? this.pairs(u.reference, u.other.text, u.other.steps, [], "of the other") : "",
      this.cause(u),
      element("div", { class: "sound" }),
      this.alternatives(u),
    );
    this.load(u);
  },

  pairs(reference, hypothesis, letters, words, name) {
    const found = steps(reference, hypothesis, letters).map((step) => {
      const word = step.place === null ? null : words[step.place];
      const note = step.letter === "=" ? "" : step.letter.toUpperCase();
      const inside = [
        element("span", { class: "reference" }, step.reference || "∅"),
        element("span", { class: "hypothesis" }, step.hypothesis || "∅"),
        element("small", {}, element("b", {}, note), word ? ` ${(100 * word[2]).toFixed(0)}` : ""),
      ];
      const notes = [
        LETTERS[step.letter],
        word ? `${word[0].toFixed(2)} to ${word[1].toFixed(2)} s, confidence ${word[2].toFixed(3)}` : null,
      ];
      const attributes = {
        class: `pair ${step.letter === "=" ? "" : step.letter}`,
        title: notes.filter(Boolean).join("; ") || null,
      };
      return word
        ? element(
            "button",
            { type: "button", ...attributes, onclick: () => this.play(word[0], word[1]) },
            ...inside,
          )
        : element("span", attributes, ...inside);
    });
    const empty = element("span", { class: "quiet" }, "no words in either text");
    return element(
      "div",
      { class: "alignment" },
      element(
        "div",
        { class: "side" },
        element("span", {}, "reference"),
        element("span", {}, name),
        element("small", { title: "confidence of the word in per cent" }, words.length ? "conf. (%)" : ""),
      ),
      element("div", { class: "pairs", dir: "auto" }, ...(found.length ? found : [empty])),
    );
  },

  cause(u) {
    if (!u.cause) return "";
    const score = (value) => (value === null ? "none" : decimal(value, 2));
    const added = u.total[0] !== u.ctc[0] || u.total[1] !== u.ctc[1];
    return element(
      "p",
      {},
      element("b", {}, causeNames[u.cause].replace("errors", "error")),
      ". CTC score (natural log): of the reference ",
      element("b", {}, score(u.ctc[0])),
      ", of the hypothesis ",
      element("b", {}, score(u.ctc[1])),
      added ? `; with what the decoder adds ${score(u.total[0])} and ${score(u.total[1])}.` : ".",
    );
  },

  alternatives(u) {
    if (!u.alternatives.length) return "";
    const rows = u.alternatives.map(([text, score, errors], index) =>
      element(
        "tr",
        {},
        element("td", { class: "number" }, `${index + 2}`),
        element("td", { class: "number" }, decimal(score, 2)),
        element("td", { class: "number" }, `${errors}`),
        element("td", { dir: "auto" }, text),
      ),
    );
    return element(
      "details",
      { open: "" },
      element("summary", {}, "Other hypotheses"),
      element(
        "table",
        {},
        element(
          "thead",
          {},
          element(
            "tr",
            {},
            ...["rank", "score (ln)", "word errors"].map((name) => element("th", { class: "number" }, name)),
            element("th", {}, "text"),
          ),
        ),
        element("tbody", {}, ...rows),
      ),
    );
  },

  async load(u) {
    const place = byId("utterance").querySelector(".sound");
    if (u.audio === null) {
      place.append(
        element(
          "p",
          { class: "quiet" },
          "The recording is not in this page: report_audio=MEGABYTES says how much of it may be.",
        ),
      );
      return;
    }
    const audio = element("audio", { controls: "", preload: "auto" });
    const cursor = element("div", { class: "cursor" });
    const frame = element("div", { class: "spectrogram" }, element("canvas"), cursor);
    place.append(audio, frame);
    audio.addEventListener("play", () => this.follow(audio, cursor));
    audio.addEventListener("seeked", () => this.follow(audio, cursor));
    frame.addEventListener("click", (event) => {
      if (!this.picture) return;
      const { left, width } = this.picture.chart;
      const share = (event.clientX - frame.getBoundingClientRect().left - left) / width;
      this.play(clamp(share, 0, 1) * this.picture.seconds, Infinity);
    });
    const sound = await listen(audio, u.audio.textContent, "audio/ogg", SOUND_RATE);
    if (table.chosen !== u) return;
    const seconds = sound.samples.length / sound.rate;
    this.picture = { frame, sound, seconds, words: this.timed(u) };
    this.redraw();
    this.follow(audio, cursor);
  },

  /* The recognized words with their times and the letter of their error. */
  timed(u) {
    const shown = steps(u.reference, u.hypothesis, u.steps).filter((step) => step.place !== null);
    return u.words.length === shown.length
      ? shown.map((step, index) => ({
          text: step.hypothesis,
          letter: step.letter,
          start: u.words[index][0],
          end: u.words[index][1],
        }))
      : [];
  },

  play(start, end) {
    const audio = byId("utterance").querySelector("audio");
    if (!audio) return;
    this.until = end;
    audio.currentTime = start;
    audio.play();
  },

  follow(audio, cursor) {
    if (!audio.isConnected || !this.picture) return;
    cursor.style.left = `${this.picture.chart.x(audio.currentTime)}px`;
    if (audio.paused) return;
    if (audio.currentTime >= this.until) {
      audio.pause();
      this.until = Infinity;
    }
    requestAnimationFrame(() => this.follow(audio, cursor));
  },

  /* Draw the spectrogram with the recognized words above it, in the color of their error. */
  redraw() {
    if (!this.picture) return;
    const { frame, sound, seconds, words } = this.picture,
      width = frame.clientWidth;
    if (!width) return;
    const chart = plot({
      name: "Spectrogram with the recognized words",
      x: { low: 0, high: seconds, label: "time (s)", marks: marksOf(0, seconds, Math.max(3, width / 110)) },
      y: { low: 0, high: sound.rate / 2000, label: "frequency (kHz)" },
      width,
      height: 250,
      edges: { left: 52, right: 12, top: 22, bottom: 40 },
    });
    this.picture.chart = chart;
    const pen = penOn(frame.querySelector("canvas"), chart.width, chart.height);
    drawSpectrogram(pen, sound, 0, seconds, chart.width, chart.height);
    for (const word of words) {
      const [start, wide] = [chart.x(word.start), Math.max(1, chart.x(word.end) - chart.x(word.start) - 1)];
      const ink = { s: "orange", i: "green" }[word.letter] ?? "ink",
        most = Math.max(2, Math.floor(Math.max(wide, 12) / 7));
      const text = word.text.length > most ? `${word.text.slice(0, most - 1)}…` : word.text;
      const [style, high] = [`fill:var(--${ink})`, word.letter === "=" ? 1 : 3];
      chart.svg.append(
        shape("rect", { style, x: start, y: chart.top - 4, width: wide, height: high }),
        shape("text", { style, x: start + wide / 2, y: chart.top - 8, "text-anchor": "middle" }, text),
      );
    }
    frame.querySelector("svg")?.remove();
    frame.append(chart.svg);
  },
};
