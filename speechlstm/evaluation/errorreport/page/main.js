/* What happens when the page is opened. */
for (const [index, u] of data.utterances.entries()) {
  u.index = index;
  u.audio = byId(`audio-${index}`);
}
byId("title").textContent = `Errors of ${data.setup.bundle} on ${data.setup.manifest}`;
byId("setup").textContent = `decoder ${data.setup.decoder}; speechlstm ${data.setup.version}`;
for (const part of [tiles, comparison, kinds, groups, words, confidence]) part();
table.start();
const linked = data.utterances.find((u) => `#${encodeURIComponent(u.id)}` === location.hash);
if (linked ?? table.rows[0]) table.choose(linked ?? table.rows[0]);
else byId("utterance").append(element("p", { class: "quiet" }, "No utterance is chosen."));
let waiting = null;
window.addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => utterance.redraw(), 150);
});
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => utterance.redraw());
