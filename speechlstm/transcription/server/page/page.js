"use strict";

const $ = (id) => document.getElementById(id);
let recording = null;

/** Return the phrases to favor. */
const keywords = () => $("keywords").value.split(",").map((each) => each.trim()).filter(Boolean);

/** Ask the server, with the key if one was typed. */
async function request(path, options = {}) {
  const key = String.fromCharCode(...new TextEncoder().encode($("key").value)); // headers hold bytes
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const answer = await fetch(path, { ...options, headers });
  if (answer.status === 401) $("locked").hidden = false;
  if (!answer.ok) throw new Error((await answer.json()).error.message);
  return answer;
}

const ask = async (path) => (await request(path)).json();

/** Return the transcript of a form; each piece of its text is given to `show` as soon as it is recognized. */
async function follow(form, show) {
  const answer = await request("v1/audio/transcriptions", { method: "POST", body: form });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let { value, done } = await reader.read(); !done; { value, done } = await reader.read()) {
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const content = JSON.parse(event.slice(event.indexOf("data: ") + 6));
      if (content.error) throw new Error(content.error.message);
      if (content.type === "transcript.text.done") return content;
      show(content.delta);
    }
  }
  throw new Error("The server ended before the transcript did.");
}

async function listModels() {
  try {
    const names = (await ask("v1/models")).data.map((model) => model.id);
    $("model").replaceChildren(...names.map((name) => new Option(name)));
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
    form.append("model", $("model").value);
    for (const each of keywords()) form.append("keywords[]", each);
    form.append("response_format", "verbose_json");
    for (const each of ["word", "segment"]) form.append("timestamp_granularities[]", each);
    form.append("stream", "true");
    const article = document.createElement("article"), name = document.createElement("h2");
    const text = document.createElement("div");
    [name.textContent, text.className] = [file.name, "text"];
    article.append(name, text);
    try {
      const made = await follow(form, (delta) => {
        text.append(delta);
        if (!article.isConnected) $("results").prepend(article);
      });
      article.remove();
      addResult(file, made);
    } catch (error) {
      article.remove();
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
    for (const each of made.warnings ?? []) {
      const warning = document.createElement("p");
      [warning.textContent, warning.className] = [`Warning: ${each}`, "warning"];
      text.before(warning);
    }
    fill(text, audio, made);
    article.querySelector(".save").addEventListener("click", (event) => {
      if (event.target.value) save(file.name, event.target.value, article.made);
    });
    article.made = made;
    article.querySelector(".edit").addEventListener("click", () => edit(article));
  } else {
    article.classList.add("failed");
    text.textContent = problem;
    for (const each of [audio, article.querySelector(".editor"), article.querySelector(".save")]) each.remove();
  }
  $("results").prepend(article);
}

/** Let the text be edited, a line for each segment, or show it as it was edited. */
function edit(article) {
  const [text, editor, button] = [".text", ".editor", ".edit"].map((each) => article.querySelector(each));
  const begins = editor.hidden, { made } = article;
  if (!made.segments.length) made.segments = [{ id: 0, start: 0, end: made.duration, text: "" }];
  if (begins) {
    editor.value = article.made.segments.map((segment) => segment.text).join("\n");
    editor.rows = article.made.segments.length + 1;
  } else {
    const lines = editor.value.split("\n"), count = article.made.segments.length;
    // A line too many belongs to the last segment.
    const joined = [...lines.slice(0, count - 1), lines.slice(count - 1).join(" ")];
    article.made = edited(article.made, Array.from({ length: count }, (_, at) => joined[at] ?? ""));
    const fresh = text.cloneNode(false); // without its listeners
    text.replaceWith(fresh);
    fill(fresh, article.querySelector("audio"), article.made);
  }
  button.setAttribute("aria-pressed", begins);
  button.textContent = begins ? "Done" : "Edit";
  article.querySelector(".text").hidden = begins;
  editor.hidden = !begins;
  (begins ? editor : button).focus();
}

/** Show the words, a paragraph for each segment; one of them is in the order of the Tab key. */
function fill(text, audio, made) {
  const buttons = [];
  for (const words of split(made)) {
    const paragraph = document.createElement("p");
    for (const word of words) {
      const button = document.createElement("button");
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
  audio.ontimeupdate = () => {
    const time = audio.currentTime;
    buttons.forEach((button, at) => {
      button.classList.toggle("now", made.words[at].start <= time && time < made.words[at].end);
    });
  };
}

/** Begin to record, or stop. */
async function record() {
  const button = $("record");
  if (recording) {
    button.disabled = true;
    recording.stop();
    return;
  }
  const wish = { key: $("key").value, model: $("model").value, keywords: keywords() };
  const show = (final, partial) => {
    $("final").textContent = final;
    $("partial").textContent = partial;
  };
  const done = (file, made, problem) => {
    recording = null;
    toggle(false);
    $("status").textContent = problem;
    if (made.duration) addResult(file, made);
  };
  recording = new Recording(wish, show, done);
  button.disabled = true;
  try {
    await recording.start();
    show("", "");
    toggle(true);
  } catch (error) {
    recording = null;
    button.disabled = false;
    $("status").textContent = `The recording cannot begin: ${error.message}`;
  }
}

function toggle(on) {
  $("record").disabled = false;
  $("record").setAttribute("aria-pressed", on);
  $("record").textContent = on ? "Stop" : "Record";
  $("live").hidden = !on;
  $("status").textContent = on ? "Recording …" : "";
}

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
$("record").addEventListener("click", record);
$("key").addEventListener("change", listModels);
$("form").addEventListener("submit", (event) => event.preventDefault());
for (const [kind, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", over);
    if (kind === "drop" && event.dataTransfer.files.length) transcribe(event.dataTransfer.files);
  });
}
listModels();
