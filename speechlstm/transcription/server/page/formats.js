"use strict";

/** Return a time as hours, minutes, seconds and, after a mark, milliseconds. */
function clock(seconds, mark) {
  const all = Math.round(1000 * seconds);
  const [hours, minutes, rest] = [all / 3600000, (all / 60000) % 60, (all / 1000) % 60].map(Math.floor);
  const two = (number) => String(number).padStart(2, "0");
  return `${two(hours)}:${two(minutes)}:${two(rest)}${mark}${String(all % 1000).padStart(3, "0")}`;
}

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** Return Praat's TextGrid: a tier of words whose intervals tile the audio. */
function textGrid(made) {
  let cursor = 0;
  const words = made.words.map((word) => {
    const start = Math.max(Math.round(1000 * word.start), cursor);
    cursor = Math.max(Math.round(1000 * word.end), start + 1);
    return { start, end: cursor, text: word.word };
  });
  const total = Math.max(Math.round(1000 * made.duration), 1, words.length);
  let limit = total;
  for (const word of words.toReversed()) { // none ends after the audio
    word.end = Math.min(word.end, limit);
    limit = word.start = Math.min(word.start, word.end - 1);
  }
  const intervals = [];
  cursor = 0;
  for (const word of [...words, { start: total, end: total }]) {
    if (word.start > cursor) intervals.push({ start: cursor, end: word.start, text: "" });
    if (word.end > word.start) intervals.push(word);
    cursor = word.end;
  }
  const seconds = (milliseconds) => (milliseconds / 1000).toFixed(3);
  const head = `File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = ${seconds(total)}\n`
    + `tiers? <exists>\nsize = 1\nitem []:\n    item [1]:\n        class = "IntervalTier"\n        name = "words"\n`
    + `        xmin = 0\n        xmax = ${seconds(total)}\n        intervals: size = ${intervals.length}\n`;
  return head + intervals.map((each, at) =>
    `        intervals [${at + 1}]:\n            xmin = ${seconds(each.start)}\n            xmax = ${seconds(each.end)}\n`
    + `            text = "${each.text.replaceAll('"', '""')}"\n`).join("");
}

const FORMATS = {
  txt: (made) => `${made.text}\n`,
  json: (made) => `${JSON.stringify(made)}\n`,
  srt: (made) => made.segments.map((each, at) =>
    `${at + 1}\n${clock(each.start, ",")} --> ${clock(each.end, ",")}\n${each.text.replaceAll("-->", "-- >")}\n\n`).join(""),
  vtt: (made) => "WEBVTT\n" + made.segments.map((each) =>
    `\n${clock(each.start, ".")} --> ${clock(each.end, ".")}\n${escaped(each.text)}\n`).join(""),
  TextGrid: textGrid,
};

/** Return the words of each segment. */
function split(made) {
  const words = [...made.words];
  return made.segments.map((segment) => {
    const inside = [];
    while (words.length && words[0].start < segment.end) inside.push(words.shift());
    return inside;
  });
}

/** Return a transcript with other lines as the text of its segments; new words share the time of those before. */
function edited(made, lines) {
  const segments = [], words = [];
  split(made).forEach((before, at) => {
    const texts = lines[at].split(/\s+/).filter(Boolean), segment = made.segments[at];
    if (!texts.length) return;
    const [start, end] = before.length ? [before[0].start, before.at(-1).end] : [segment.start, segment.end];
    const letters = texts.join("").length;
    let sum = 0;
    const share = () => Number((start + ((end - start) * sum) / letters).toFixed(3));
    texts.forEach((word, index) => {
      const times = { start: share() };
      sum += word.length;
      times.end = share();
      const same = before[index];
      const kept = texts.length === before.length ? { start: same.start, end: same.end } : times;
      words.push({ word, ...kept, confidence: same?.word === word ? same.confidence : 1 });
    });
    segments.push({ ...segment, id: segments.length, text: texts.join(" ") });
  });
  return { ...made, text: segments.map((each) => each.text).join(" "), segments, words };
}
