"use strict";

const $ = (id) => document.getElementById(id);
let model = "";

/** Ask the server, with the key if one was typed. */
async function ask(path, options = {}) {
  const key = String.fromCharCode(...new TextEncoder().encode($("key").value)); // headers hold bytes
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const answer = await fetch(path, { ...options, headers });
  if (answer.status === 401) $("locked").hidden = false;
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error.message);
  return content;
}

async function nameModel() {
  try {
    model = (await ask("v1/models")).data[0].id;
    $("model").textContent = model;
  } catch (error) {
    $("status").textContent = error.message;
  }
}

async function transcribe(files) {
  let left = files.length;
  const show = () => { $("status").textContent = left ? `Transcribing ${left} of ${files.length} …` : ""; };
  show();
  await Promise.all([...files].map(async (file) => {
    const form = new FormData();
    form.append("file", file);
    form.append("response_format", "verbose_json");
    for (const each of ["word", "segment"]) form.append("timestamp_granularities[]", each);
    try {
      addResult(file, await ask("v1/audio/transcriptions", { method: "POST", body: form }));
    } catch (error) {
      addResult(file, null, error.message);
    }
    left -= 1;
    show();
  }));
}

function addResult(file, made, problem) {
  const article = $("result").content.cloneNode(true).querySelector("article");
  article.querySelector("h2").textContent = file.name;
  const text = article.querySelector(".text"), audio = article.querySelector("audio");
  if (made) {
    audio.src = URL.createObjectURL(file);
    fill(text, audio, made);
    article.querySelector(".save").addEventListener("click", (event) => {
      if (event.target.value) save(file.name, event.target.value, made);
    });
  } else {
    article.classList.add("failed");
    text.textContent = problem;
    for (const each of [audio, article.querySelector(".save")]) each.remove();
  }
  $("results").prepend(article);
}

/** Show the words, a paragraph for each segment; one of them is in the order of the Tab key. */
function fill(text, audio, made) {
  const words = [...made.words];
  const buttons = [];
  for (const segment of made.segments) {
    const paragraph = document.createElement("p");
    while (words.length && words[0].start < segment.end) {
      const word = words.shift(), button = document.createElement("button");
      button.type = "button";
      button.className = "word";
      button.textContent = word.word;
      button.tabIndex = buttons.length ? -1 : 0;
      button.title = `${Math.round(100 * word.confidence)} % certain, ${word.start.toFixed(2)} s`;
      button.style.setProperty("--doubt", (1 - word.confidence).toFixed(3));
      button.addEventListener("click", () => { audio.currentTime = word.start; audio.play(); });
      buttons.push(button);
      paragraph.append(button, " ");
    }
    text.append(paragraph);
  }
  if (!buttons.length) text.textContent = "No speech was recognized.";
  text.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = buttons[buttons.indexOf(event.target) + step];
    if (!step || !next) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
  audio.addEventListener("timeupdate", () => {
    const time = audio.currentTime;
    buttons.forEach((button, at) => {
      button.classList.toggle("now", made.words[at].start <= time && time < made.words[at].end);
    });
  });
}

function clock(seconds, mark) {
  const all = Math.round(1000 * seconds);
  const [hours, minutes, rest] = [all / 3600000, (all / 60000) % 60, (all / 1000) % 60].map(Math.floor);
  const two = (number) => String(number).padStart(2, "0");
  return `${two(hours)}:${two(minutes)}:${two(rest)}${mark}${String(all % 1000).padStart(3, "0")}`;
}

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

const FORMATS = {
  txt: (made) => `${made.text}\n`,
  json: (made) => `${JSON.stringify(made)}\n`,
  srt: (made) => made.segments.map((each, at) =>
    `${at + 1}\n${clock(each.start, ",")} --> ${clock(each.end, ",")}\n${each.text}\n\n`).join(""),
  vtt: (made) => "WEBVTT\n" + made.segments.map((each) =>
    `\n${clock(each.start, ".")} --> ${clock(each.end, ".")}\n${escaped(each.text)}\n`).join(""),
};

function save(name, kind, made) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([FORMATS[kind](made)], { type: "text/plain" }));
  link.download = `${name.replace(/\.[^.]*$/, "")}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

$("files").addEventListener("change", (event) => {
  const files = [...event.target.files];
  event.target.value = ""; // so that the same file can be chosen again
  transcribe(files);
});
$("key").addEventListener("change", nameModel);
$("form").addEventListener("submit", (event) => event.preventDefault());
for (const [kind, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", over);
    if (kind === "drop" && event.dataTransfer.files.length) transcribe(event.dataTransfer.files);
  });
}
nameModel();
