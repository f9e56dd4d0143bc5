/* What happens when the page is opened, and what the reader does. */
const panels = [
  words,
  times(),
  waveform,
  spectrogram,
  posteriors,
  ...(data.layers.length
    ? [unitPanel(true, 80), unitPanel(false, 100), ...Object.entries(PARTS).map(map), direction]
    : []),
  reach,
  times(),
];

function build() {
  for (const panel of panels) {
    panel.figcaption = element("figcaption");
    panel.canvas = panel.pixels ? element("canvas") : null;
    panel.frame = element("div", { class: "frame" }, panel.canvas);
    panel.figure = element("figure", {}, panel.figcaption, panel.frame);
    stack.append(panel.figure);
  }
}

function paint(panel) {
  panel.figure.hidden = panel.shown ? !panel.shown() : false;
  if (panel.figure.hidden) return;
  const [name, rest] = panel.caption();
  panel.figcaption.replaceChildren(element("b", {}, name), rest);
  panel.figcaption.hidden = !name;
  const chart = axesOf(panel);
  if (panel.canvas) {
    Object.assign(panel.canvas.style, { left: `${chart.left}px`, top: `${chart.top}px` });
    panel.pixels(penOn(panel.canvas, chart.width, chart.height), chart);
  }
  panel.draw(chart);
  panel.frame.querySelector("svg")?.remove();
  panel.frame.append(chart.svg);
}

function draw() {
  panels.forEach(paint);
  byId("whole").hidden = state.from === 0 && state.to === data.seconds;
  work();
  follow();
}

/* Cursors and words follow the sound, and so does the worked step. */
const box = () => ({ left: GUTTER.left, width: stack.clientWidth - GUTTER.left - GUTTER.right });
function putCursor(id, time) {
  const { left, width } = box(),
    inside = time >= state.from && time <= state.to;
  byId(id).style.display = inside ? "block" : "none";
  byId(id).style.left = `${left + ((time - state.from) / (state.to - state.from)) * width}px`;
}

function follow() {
  if (!player.paused) {
    state.time = player.currentTime;
    work();
    requestAnimationFrame(follow);
  }
  putCursor("now", state.time);
  document.querySelectorAll("#text button").forEach((button, k) => {
    const word = data.words[k];
    const now = !player.paused && word.start <= state.time && state.time < word.end;
    button.classList.toggle("now", now);
    button.classList.toggle("chosen", reachesOf(word) === state.reach);
  });
}

function goTo(time) {
  state.time = player.currentTime = time;
  const word = data.words.find((each) => each.start <= time && time < each.end);
  if (word && reachesOf(word) >= 0) state.reach = reachesOf(word);
  draw();
}

function timeAt(event) {
  const { left, width } = box(),
    share = (event.clientX - stack.getBoundingClientRect().left - left) / width;
  return state.from + clamp(share, 0, 1) * (state.to - state.from);
}

/* The panel below the pointer, and how far up in it that is, from 0 to 1. */
function panelAt(event) {
  const panel = panels.find((each) => each.frame.contains(event.target)),
    { top, height } = (panel?.frame ?? stack).getBoundingClientRect();
  return [panel, clamp(1 - (event.clientY - top - 2) / Math.max(height - 4, 1), 0, 0.999)];
}

function watchPointer() {
  let start = null;
  stack.addEventListener("pointerdown", (event) => {
    start = event.button === 0 ? timeAt(event) : null;
  });
  stack.addEventListener("pointermove", (event) => {
    const time = timeAt(event),
      [panel, along] = panelAt(event);
    putCursor("hover", time);
    const text = panel?.read ? panel.read(time, along) : posteriors.read(time);
    document.querySelector("output").textContent = `${decimal(time, 2)} s   ${text}`;
  });
  stack.addEventListener("pointerleave", () => {
    putCursor("hover", -1);
    document.querySelector("output").textContent = "";
  });
  stack.addEventListener("pointerup", (event) => {
    if (start === null) return;
    const time = timeAt(event),
      [from, to] = [Math.min(start, time), Math.max(start, time)],
      [panel, along] = panelAt(event);
    start = null;
    if (to - from > 0.02 * (state.to - state.from) && to - from > 2 * data.frameShift) {
      [state.from, state.to] = [from, to];
      draw();
      return;
    }
    if (panel?.heat) chooseUnit(Math.floor(along * chosen().rows));
    goTo(time);
  });
  byId("whole").addEventListener("click", () => {
    [state.from, state.to] = [0, data.seconds];
    draw();
  });
}

function chooseUnit(unit) {
  state.unit = clamp(unit, 0, chosen().rows - 1);
  document.querySelector("#whichUnit input").value = state.unit + 1;
}

function choose(index) {
  state.layer = index;
  if (data.layers.length) {
    document.querySelector("select").value = index;
    document.querySelector("#whichUnit input").max = chosen().rows;
    chooseUnit(Math.floor(0.8 * chosen().rows)); // one that remembers for a while
  }
  draw();
  drawCards();
}

/* For a long recording: which part of it the page shows, and the command for another part. */
function buildStretch() {
  if (!data.overview) return;
  const { seconds, offset, envelope, peak, command } = data.overview,
    place = byId("stretch");
  place.hidden = false;
  const text = (from, to) => `${decimal(from, 1)} to ${decimal(to, 1)} s`;
  place.querySelector("p").textContent =
    `The recording is ${decimal(seconds, 1)} s long; this page shows ${text(offset, offset + data.seconds)}. ` +
    "Drag to choose another part, then run the command below.";
  const chart = plot({
    name: "The whole recording",
    x: { low: 0, high: seconds, label: "time (s)" },
    y: { low: -1, high: 1 },
    width: 1200,
    height: 110,
  });
  const columns = bytes(envelope),
    wide = seconds / (columns.length / 2);
  const path = Array.from({ length: columns.length / 2 }, (_, k) => {
    const [low, high] = [columns[2 * k], columns[2 * k + 1]].map((byte) => byte / 127.5 - 1);
    return `M${chart.x((k + 0.5) * wide).toFixed(1)} ${chart.y(low) + 0.5}V${chart.y(high) - 0.5}`;
  });
  const band = shape("rect", { y: chart.top, height: chart.height, style: "fill:var(--blue);opacity:.25" });
  chart.svg.append(shape("path", { d: path.join(""), style: stroke("ink", 1) }), band);
  place.querySelector(".frame").append(chart.svg);
  let start = null;
  const show = (from, to) => {
    band.setAttribute("x", chart.x(from));
    band.setAttribute("width", Math.max(chart.x(to) - chart.x(from), 1));
    const span = clamp(to - from, 1, data.overview.most);
    place.querySelector("code").textContent =
      `${command} offset=${from.toFixed(1)} duration=${Math.min(span, seconds - from).toFixed(1)}`;
  };
  const timeAt = (event) => {
    const { left, width } = chart.svg.getBoundingClientRect(),
      share = (((event.clientX - left) / width) * 1200 - chart.left) / chart.width;
    return clamp(share, 0, 1) * seconds;
  };
  chart.svg.addEventListener("pointerdown", (event) => {
    start = timeAt(event);
    chart.svg.setPointerCapture(event.pointerId);
  });
  chart.svg.addEventListener("pointermove", (event) => {
    if (start !== null) show(Math.min(start, timeAt(event)), Math.max(start, timeAt(event)));
  });
  chart.svg.addEventListener("pointerup", () => {
    start = null;
  });
  show(offset, offset + data.seconds);
  place
    .querySelector("button")
    .addEventListener("click", () => navigator.clipboard?.writeText(place.querySelector("code").textContent));
}

async function start() {
  byId("name").textContent = data.name;
  byId("about").textContent = data.about;
  for (const word of data.words)
    byId("text").append(
      element("button", { type: "button", onclick: () => goTo(word.start) }, word.text),
      " ",
    );
  if (!data.words.length) byId("text").textContent = "No words were recognized.";
  const select = document.querySelector("select");
  data.layers.forEach((each, k) => select.append(element("option", { value: k }, `${each.layer} ${each.direction}`)));
  byId("choice").hidden = byId("whichUnit").hidden = !data.layers.length;
  select.addEventListener("change", () => choose(Number(select.value)));
  document.querySelector("#whichUnit input").addEventListener("change", (event) => {
    chooseUnit(Number(event.target.value) - 1 || 0);
    draw();
  });
  for (const event of ["play", "pause", "seeked"]) player.addEventListener(event, follow);
  state.time = data.reaches[state.reach]?.seconds ?? 0;
  buildStretch();
  buildEquations();
  build();
  buildCards();
  watchPointer();
  choose(state.layer);
  new ResizeObserver(draw).observe(stack);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  sound = await listen(player, byId("audio-0").textContent, "audio/flac", data.sampleRate);
  draw();
}

start();
