/* What is shown, and the numbers behind it. */
const state = {
  from: 0, // seconds of the stretch
  to: data.seconds,
  time: 0, // that was chosen, or is played
  layer: data.first,
  unit: 0, // of the layer, sorted from fast forgetting to long memory
  reach: Math.floor(data.reaches.length / 2),
};
const player = document.querySelector("audio");
let sound = null; // of the recording, once it is decoded

const chosen = () => data.layers[state.layer];
const nameOf = ({ layer, direction }) => `layer ${layer} ${direction}`;
const duration = (ms) =>
  ms === null ? `> ${Math.round(data.seconds * 1000)}` : ms < 10 ? ms.toFixed(1) : `${Math.round(ms)}`;

/* What is made of a part of the data once: its numbers, its picture. */
const keep = (part, name, make) => ((part.kept ??= {})[name] ??= make());
const values = (part) =>
  keep(part, "values", () => {
    const steps = new Uint16Array(bytes(part.data).buffer);
    return Float32Array.from(steps, (step) => part.low + (step / 65535) * (part.high - part.low));
  });
const levels = (part) => keep(part, "levels", () => bytes(part.data)); // 0 to 255

const frameAt = (time, shift, count) => clamp(Math.round(time / shift), 0, count - 1);
const frameNow = () => frameAt(state.time, chosen().shift, chosen().columns);

/* What a part of the chosen direction of a layer is in a frame, in one of its units: a number; 0 before it begins. */
function at(name, frame, unit = state.unit) {
  const { parts, columns } = chosen();
  return frame < 0 || frame >= columns ? 0 : values(parts[name])[unit * columns + frame];
}

const reachesOf = (word) =>
  data.reaches.findIndex(
    (reach) =>
      reach.seconds >= word.start - data.frameShift && reach.seconds <= word.end + data.frameShift,
  );
