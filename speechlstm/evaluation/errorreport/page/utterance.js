/* The chosen utterance: its words one below the other, its sound, and what else was in the running. */
const LETTERS = { s: "substituted", d: "deleted", i: "inserted" };

/* Bytes from base64. */
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

const utterance = {
  address: null, // of the recording that is loaded
  picture: null, // its samples and rate
  until: Infinity, // seconds at which a word that is played ends

  show(u) {
    this.picture = null;
    if (this.address) URL.revokeObjectURL(this.address);
    this.address = null;
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
      this.pairs(u.reference, u.hypothesis, u.steps, u.words, two ? "heard here" : "heard"),
      u.other ? this.pairs(u.reference, u.other.text, u.other.steps, [], "by the other") : "",
      this.cause(u),
      element("div", { class: "sound" }),
      this.alternatives(u),
    );
    this.load(u);
  },

  pairs(reference, hypothesis, letters, words, heard) {
    const found = steps(reference, hypothesis, letters).map((step) => {
      const word = step.place === null ? null : words[step.place];
      const note = step.letter === "=" ? "" : step.letter.toUpperCase();
      const inside = [
        element("span", { class: "reference" }, step.reference || "∅"),
        element("span", { class: "hypothesis" }, step.hypothesis || "∅"),
        element("small", {}, element("b", {}, note), word ? ` ${(100 * word[2]).toFixed(0)}` : ""),
      ];
      const said = [
        LETTERS[step.letter],
        word ? `${word[0].toFixed(2)} to ${word[1].toFixed(2)} s, confidence ${word[2].toFixed(3)}` : null,
      ];
      const attributes = {
        class: `pair ${step.letter === "=" ? "" : step.letter}`,
        title: said.filter(Boolean).join("; ") || null,
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
        element("span", {}, "said"),
        element("span", {}, heard),
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
      ". CTC score (natural log): of the right text ",
      element("b", {}, score(u.ctc[0])),
      ", of what was heard ",
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
    const content = bytes(u.audio.textContent);
    this.address = URL.createObjectURL(new Blob([content], { type: "audio/ogg" }));
    const audio = element("audio", { controls: "", preload: "auto", src: this.address });
    const canvas = element("canvas", { role: "img", "aria-label": "Spectrogram with the recognised words" });
    const cursor = element("div", { class: "cursor" });
    place.append(audio, element("div", { class: "spectrogram" }, canvas, cursor));
    audio.addEventListener("play", () => this.follow(audio, cursor));
    audio.addEventListener("seeked", () => this.follow(audio, cursor));
    canvas.addEventListener("click", (event) => {
      if (this.picture)
        this.play(Math.max(0, spectrogram.time(event.offsetX, canvas, this.picture)), Infinity);
    });
    const decoder = new OfflineAudioContext(1, 1, 16000);
    const decoded = await decoder.decodeAudioData(content.buffer);
    if (table.chosen !== u) return;
    const samples = decoded.getChannelData(0);
    this.picture = {
      canvas,
      samples,
      rate: decoded.sampleRate,
      seconds: samples.length / decoded.sampleRate,
      words: this.spoken(u),
    };
    spectrogram.draw(this.picture);
    this.follow(audio, cursor);
  },

  /* The recognised words with their times and the letter of their error. */
  spoken(u) {
    const heard = steps(u.reference, u.hypothesis, u.steps).filter((step) => step.place !== null);
    return u.words.length === heard.length
      ? heard.map((step, index) => ({
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
    cursor.style.left = `${spectrogram.place(audio.currentTime, this.picture.canvas, this.picture)}px`;
    if (audio.paused) return;
    if (audio.currentTime >= this.until) {
      audio.pause();
      this.until = Infinity;
    }
    requestAnimationFrame(() => this.follow(audio, cursor));
  },

  redraw() {
    if (this.picture) spectrogram.draw(this.picture);
  },
};
