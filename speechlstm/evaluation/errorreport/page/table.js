/* The table: filtered, sorted, a page of rows at a time, so that ten thousand utterances are no burden. */
const ROWS = 100;

/* The alignment as objects, from the words of both texts and its letters. */
function steps(reference, hypothesis, letters) {
  const left = reference.split(" ").filter(Boolean),
    right = hypothesis.split(" ").filter(Boolean);
  let place = 0;
  return [...letters].map((letter) => ({
    letter,
    reference: letter === "i" ? "" : left.shift(),
    hypothesis: letter === "d" ? "" : right.shift(),
    place: letter === "d" ? null : place++,
  }));
}

const mistakes = (letters) => letters.replaceAll("=", "").length;
const gain = (u) => (u.other ? u.errors - mistakes(u.other.steps) : null);
const differs = (u) => u.other !== undefined && u.other.text !== u.hypothesis;

/* A text with its errors marked; the words that it lacks stand struck through where they should be. */
function marked(reference, hypothesis, letters) {
  const found = element("span", { dir: "auto" });
  for (const step of steps(reference, hypothesis, letters)) {
    const text = step.letter === "d" ? step.reference : step.hypothesis;
    const note = { s: `reference: ${step.reference}`, d: "deleted", i: "inserted" }[step.letter];
    found.append(note ? element("mark", { class: step.letter, title: note }, text) : text, " ");
  }
  return found;
}

const two = data.comparison !== null;
const columns = [
  { name: "id", style: "id", value: (u) => u.id, show: (u) => u.id },
  {
    name: "errors",
    style: "number",
    value: (u) => u.errors,
    show: (u) => `${u.errors} / ${u.length}`,
    hint: "word errors / reference words",
  },
  {
    name: "rate (%)",
    style: "number",
    value: (u) => (u.length ? u.errors / u.length : u.errors ? Infinity : 0),
    show: (u) => (u.length ? ((100 * u.errors) / u.length).toFixed(0) : u.errors ? "∞" : "0"),
    hint: "word error rate",
  },
  two
    ? {
        name: "change",
        style: "number",
        value: gain,
        show: (u) => (gain(u) === null ? "" : gain(u) > 0 ? `+${gain(u)}` : `${gain(u)}`.replace("-", "−")),
        hint: "word errors here less those of the other",
      }
    : null,
  { name: "cause", value: (u) => u.cause ?? null, show: (u) => u.cause ?? "" },
  {
    name: two ? "hypothesis here" : "hypothesis",
    style: "text",
    value: (u) => u.hypothesis,
    show: (u) => marked(u.reference, u.hypothesis, u.steps),
    hint: "with substituted, deleted and inserted words marked",
  },
  two
    ? {
        name: "hypothesis of the other",
        style: "text",
        value: (u) => u.other?.text ?? null,
        show: (u) => (u.other ? marked(u.reference, u.other.text, u.other.steps) : ""),
      }
    : null,
  data.groups.speaker.length
    ? { name: "speaker", value: (u) => u.speaker, show: (u) => u.speaker ?? "" }
    : null,
  {
    name: "s",
    style: "number",
    value: (u) => u.seconds,
    show: (u) => decimal(u.seconds, 1),
    hint: "duration in seconds",
  },
  {
    name: "SNR (dB)",
    style: "number",
    value: (u) => u.snr,
    show: (u) => decimal(u.snr, 0),
    hint: "estimated signal-to-noise ratio",
  },
  {
    name: "words/s",
    style: "number",
    value: (u) => u.speed,
    show: (u) => decimal(u.speed, 1),
    hint: "reference words per second of audio",
  },
].filter(Boolean);

const choices = [
  ["all utterances", () => true],
  ["with errors", (u) => u.errors > 0],
  ["without errors", (u) => u.errors === 0],
  ["search errors", (u) => u.cause === "search"],
  ["model errors", (u) => u.cause === "model"],
  ["unreachable", (u) => u.cause === "unreachable"],
  ["with audio", (u) => u.audio !== null],
  ...(two
    ? [
        ["changed", differs],
        ["better here", (u) => gain(u) < 0],
        ["worse here", (u) => gain(u) > 0],
      ]
    : []),
];

const compareTexts = new Intl.Collator(undefined, { numeric: true }).compare;

const table = {
  sorted: 1,
  descending: true,
  page: 0,
  rows: [],
  extra: null,
  chosen: null,

  start() {
    for (const [index, [name]] of choices.entries())
      byId("kind").append(element("option", { value: index }, name));
    byId("search").addEventListener("input", () => this.show());
    byId("kind").addEventListener("change", () => this.show());
    byId("previous").addEventListener("click", () => this.turn(this.page - 1));
    byId("next").addEventListener("click", () => this.turn(this.page + 1));
    byId("scroller").addEventListener("keydown", (event) => {
      const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!move || event.target.closest("th")) return;
      event.preventDefault();
      this.move(move);
    });
    const head = element("tr");
    for (const [index, column] of columns.entries())
      head.append(
        element(
          "th",
          { class: column.style === "number" ? "number" : null, title: column.hint, scope: "col" },
          element("button", { type: "button", onclick: () => this.sort(index) }, column.name),
        ),
      );
    byId("table").tHead.append(head);
    if (two) byId("kind").value = choices.findIndex(([name]) => name === "changed");
    this.show();
  },

  sort(index) {
    this.descending = index === this.sorted ? !this.descending : columns[index].style === "number";
    this.sorted = index;
    this.show();
  },

  /* Show the utterances for which `filter.holds`, whatever was searched for before. */
  filter(filter) {
    this.extra = filter;
    byId("search").value = "";
    byId("kind").value = 0;
    this.show();
    byId("browse").scrollIntoView({ behavior: "smooth" });
  },

  show() {
    const wanted = byId("search").value.trim().toLowerCase();
    const kind = choices[byId("kind").value][1];
    const found = (u) =>
      [u.reference, u.hypothesis, u.other?.text, u.id, u.speaker].some((text) =>
        text?.toLowerCase().includes(wanted),
      );
    this.rows = data.utterances.filter(
      (u) => kind(u) && (!this.extra || this.extra.holds(u)) && (!wanted || found(u)),
    );
    const { value } = columns[this.sorted],
      sign = this.descending ? -1 : 1;
    const keys = new Map(this.rows.map((u) => [u, value(u)]));
    this.rows.sort((a, b) => {
      const [left, right] = [keys.get(a), keys.get(b)];
      if (left === null || right === null) return (left === null) - (right === null); // unknown always last
      return (
        sign * (typeof left === "string" ? compareTexts(left, right) : left === right ? 0 : left - right) ||
        a.index - b.index
      );
    });
    for (const [index, cell] of [...byId("table").tHead.rows[0].cells].entries()) {
      if (index === this.sorted) cell.setAttribute("aria-sort", this.descending ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
    const clear = () => {
      this.extra = null;
      this.show();
    };
    byId("chips").replaceChildren(
      ...(this.extra
        ? [
            element(
              "button",
              { type: "button", title: "Show all again", onclick: clear },
              `${this.extra.name} ✕`,
            ),
          ]
        : []),
    );
    byId("count").textContent = `${whole(this.rows.length)} of ${counted(data.utterances.length, "utterance")}`;
    this.turn(0);
  },

  turn(page) {
    const pages = Math.max(1, Math.ceil(this.rows.length / ROWS));
    this.page = page;
    byId("where").textContent = `page ${page + 1} of ${whole(pages)}`;
    byId("previous").disabled = page === 0;
    byId("next").disabled = page >= pages - 1;
    byId("table").tBodies[0].replaceChildren(
      ...this.rows.slice(page * ROWS, (page + 1) * ROWS).map((u) => this.row(u)),
    );
    byId("scroller").scrollTop = 0;
  },

  row(u) {
    return element(
      "tr",
      { "aria-selected": u === this.chosen, onclick: () => this.choose(u) },
      ...columns.map((column) =>
        element("td", { class: column.style, dir: column.style ? null : "auto" }, column.show(u)),
      ),
    );
  },

  choose(u) {
    this.chosen = u;
    const first = this.page * ROWS;
    for (const [index, row] of [...byId("table").tBodies[0].rows].entries())
      row.setAttribute("aria-selected", this.rows[first + index] === u);
    history.replaceState(null, "", `#${encodeURIComponent(u.id)}`);
    utterance.show(u);
  },

  move(by) {
    const place = Math.min(Math.max(this.rows.indexOf(this.chosen) + by, 0), this.rows.length - 1);
    if (place < 0) return;
    if (Math.floor(place / ROWS) !== this.page) this.turn(Math.floor(place / ROWS));
    this.choose(this.rows[place]);
    byId("table").tBodies[0].rows[place - this.page * ROWS].scrollIntoView({ block: "nearest" });
  },
};
