"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const find = selector => document.querySelector(selector);
const bytes = text => Uint8Array.from(atob(text), character => character.charCodeAt(0));
const number = (value, digits = 2) => value === null ? "∞" : value.toFixed(digits);
const milliseconds = value => value === null ? `> ${Math.round(data.seconds * 1000)}` : value < 10 ? value.toFixed(1) : Math.round(value);
const element = (tag, text = "", parent = null) => {
  const made = document.createElement(tag);
  made.textContent = text;
  parent?.append(made);
  return made;
};

const INK = {input: "orange", forget: "blue", output: "green", reset: "orange", update: "blue"};
const MARKER = {input: "square", forget: "circle", output: "triangle", reset: "square", update: "circle"};
const LAYER_INK = ["orange", "blue", "green", "purple", "ink", "muted"];
const audio = find("audio");
const state = {from: 0, to: data.seconds, layer: data.first, reach: Math.floor(data.reaches.length / 2)};
const chosen = () => data.layers[state.layer];
const decoded = new Map(); // bytes by their base64, pictures by that and the palette's name
function keep(key, make) {
  if (!decoded.has(key)) decoded.set(key, make());
  return decoded.get(key);
}
const values = text => keep(text, () => bytes(text));

function build() {
  for (const panel of panels) {
    panel.figure = element("figure", "", find("#panels"));
    panel.figcaption = element("figcaption", "", panel.figure);
    panel.canvas = element("canvas", "", panel.figure);
    panel.canvas.setAttribute("role", "img");
  }
}

function draw() {
  for (const panel of panels) {
    panel.figure.hidden = panel.shown ? !panel.shown() : false;
    if (panel.figure.hidden) continue;
    const caption = typeof panel.caption === "function" ? panel.caption() : panel.caption;
    panel.figcaption.innerHTML = caption;
    panel.figcaption.hidden = !caption;
    panel.canvas.setAttribute("aria-label", panel.figcaption.textContent);
    const [context, width] = pen(panel.canvas, panel.height);
    panel.draw(context, area(width, panel.height));
  }
  find("#whole").hidden = state.from === 0 && state.to === data.seconds;
  follow();
}

// Cursors, pointer, sound

const box = () => area(find("#panels").clientWidth, 100);
function putCursor(id, time) {
  const cursor = find(id), inside = time !== null && time >= state.from && time <= state.to;
  cursor.style.display = inside ? "block" : "none";
  if (inside) cursor.style.left = `${timeToX(time, box())}px`;
}

function follow() {
  putCursor("#now", audio.paused && audio.currentTime === 0 ? null : audio.currentTime);
  document.querySelectorAll("#text button").forEach((button, k) => {
    const word = data.words[k];
    button.classList.toggle("now", !audio.paused && word.start <= audio.currentTime && audio.currentTime < word.end);
    button.classList.toggle("chosen", reachesOf(word) === state.reach);
  });
  if (!audio.paused) requestAnimationFrame(follow);
}

function timeAt(event) {
  const here = box(), left = find("#panels").getBoundingClientRect().left;
  return state.from + clamp((event.clientX - left - here.left) / here.width, 0, 1) * (state.to - state.from);
}

function watchPointer() {
  const stack = find("#panels");
  let pressed = null;
  stack.addEventListener("pointerdown", event => { pressed = event.button === 0 ? timeAt(event) : null; });
  stack.addEventListener("pointermove", event => {
    const time = timeAt(event), panel = panels.find(each => each.canvas === event.target);
    putCursor("#hover", time);
    const rect = event.target.getBoundingClientRect();
    const along = 1 - (event.clientY - rect.top - 2) / Math.max(rect.height - 4, 1);
    const said = panel?.read ? panel.read(time, along) : posteriors.read(time);
    find("output").textContent = `${number(time)} s   ${said}`;
  });
  stack.addEventListener("pointerleave", () => { putCursor("#hover", null); find("output").textContent = ""; });
  stack.addEventListener("pointerup", event => {
    if (pressed === null) return;
    const time = timeAt(event), [from, to] = [Math.min(pressed, time), Math.max(pressed, time)];
    pressed = null;
    if (to - from > 0.02 * (state.to - state.from) && to - from > 2 * data.frameShift) {
      [state.from, state.to] = [from, to];
      draw();
    } else {
      audio.currentTime = time;
      const nearest = data.words.find(word => word.start <= time && time < word.end);
      if (nearest && reachesOf(nearest) >= 0) state.reach = reachesOf(nearest);
      draw();
    }
  });
  find("#whole").addEventListener("click", () => { [state.from, state.to] = [0, data.seconds]; draw(); });
}

function start() {
  find("h1").textContent = data.name;
  find("#about").textContent = data.about;
  for (const word of data.words) {
    const button = element("button", word.text, find("#text"));
    find("#text").append(" ");
    button.addEventListener("click", () => {
      audio.currentTime = word.start;
      if (reachesOf(word) >= 0) state.reach = reachesOf(word);
      draw();
    });
  }
  if (!data.words.length) find("#text").textContent = "No words were heard.";
  audio.src = URL.createObjectURL(new Blob([bytes(data.audio)], {type: "audio/flac"}));
  for (const event of ["play", "pause", "seeked", "timeupdate"]) audio.addEventListener(event, follow);
  const select = find("select");
  data.layers.forEach((each, k) => { element("option", `${each.layer} ${each.direction}`, select).value = k; });
  find("#choice").hidden = !data.layers.length;
  select.addEventListener("change", () => choose(Number(select.value)));
  build();
  buildCards();
  watchPointer();
  choose(state.layer);
  new ResizeObserver(() => { draw(); drawCards(); }).observe(find("#panels"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { draw(); drawCards(); });
}

function choose(index) {
  state.layer = index;
  find("select").value = index;
  draw();
  drawCards();
}
