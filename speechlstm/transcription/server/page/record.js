"use strict";

const LONGEST = 7, WIDEST = 84; // seconds and characters of a segment, as of a subtitle

/** Return what connects to the server; browsers bring a key to a WebSocket as the name of a subprotocol. */
function connect(key) {
  const address = new URL("v1/realtime?intent=transcription", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const encoded = encodeURIComponent(key).replace(/[()]/g, (each) => `%${each.charCodeAt(0).toString(16)}`);
  return new WebSocket(address, ["realtime", ...(key ? [`openai-insecure-api-key.${encoded}`] : [])]);
}

/** Return a wav file of blocks of samples in 16 bits. */
function toWav(blocks, rate, name) {
  const size = 2 * blocks.reduce((sum, block) => sum + block.length, 0), head = new DataView(new ArrayBuffer(44));
  const put = (at, text) => [...text].forEach((char, index) => head.setUint8(at + index, char.charCodeAt(0)));
  put(0, "RIFF"); head.setUint32(4, 36 + size, true); put(8, "WAVEfmt "); head.setUint32(16, 16, true);
  head.setUint16(20, 1, true); head.setUint16(22, 1, true); head.setUint32(24, rate, true);
  head.setUint32(28, 2 * rate, true); head.setUint16(32, 2, true); head.setUint16(34, 16, true);
  put(36, "data"); head.setUint32(40, size, true);
  return new File([head, ...blocks], name, { type: "audio/wav" });
}

/** Return words as a transcript whose segments end at pauses, or where they would be too long. */
function toTranscript(items, duration) {
  const segments = [];
  for (const words of items) {
    let segment = null;
    for (const word of words) {
      if (!segment || word.end - segment.start > LONGEST || segment.text.length + word.word.length >= WIDEST) {
        segment = { id: segments.length, start: word.start, end: word.end, text: "" };
        segments.push(segment);
      }
      segment.text += (segment.text ? " " : "") + word.word;
      segment.end = word.end;
    }
  }
  return { text: segments.map((each) => each.text).join(" "), duration, segments, words: items.flat() };
}

/** Record the microphone and have it transcribed live, until `stop` is called or the connection ends. */
class Recording {
  /**
   * @param {{key: string, model: string, keywords: string[]}} wish what to ask the server for
   * @param {(final: string, partial: string) => void} show is given the text as it changes
   * @param {(file: File, made: object, problem: string) => void} done is given the recording and its transcript
   */
  constructor(wish, show, done) {
    Object.assign(this, { wish, show, done, blocks: [], items: [], final: "", problem: "" });
  }

  async start() {
    if (!navigator.mediaDevices) throw new Error("The microphone needs https, or a server on this machine.");
    this.media = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    try {
      this.context = new AudioContext();
      await this.context.audioWorklet.addModule("worklet.js");
      const source = this.context.createMediaStreamSource(this.media);
      this.node = new AudioWorkletNode(this.context, "pcm", { numberOfOutputs: 0 });
      this.socket = connect(this.wish.key);
      await new Promise((resolve, reject) => {
        this.socket.onopen = resolve;
        this.socket.onclose = () => reject(new Error("The server does not take live speech."));
      });
      this.socket.onmessage = (message) => this.take(JSON.parse(message.data));
      this.socket.onclose = (event) => this.end(event.reason || (this.stopped ? "" : "The connection has ended."));
      const { model, keywords } = this.wish;
      const input = { format: { type: "audio/pcm", rate: this.context.sampleRate }, transcription: { model, keywords } };
      this.send({ type: "session.update", session: { type: "transcription", audio: { input } } });
      this.node.port.onmessage = ({ data }) => {
        this.blocks.push(data);
        const bytes = String.fromCharCode(...new Uint8Array(data.buffer));
        this.send({ type: "input_audio_buffer.append", audio: btoa(bytes) });
      };
      source.connect(this.node);
    } catch (error) {
      this.release();
      throw error;
    }
  }

  send(event) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(event));
  }

  take(event) {
    const kind = event.type.split(".").at(-1);
    if (kind === "delta") {
      this.line = (this.line ?? "") + event.delta;
      this.show(`${this.final}${this.line}`, event.partial);
    } else if (kind === "completed") {
      this.items.push(event.words);
      this.final += event.transcript && `${event.transcript} `;
      this.line = "";
    } else if (kind === "cleared") {
      this.socket.close();
    } else if (kind === "error") {
      this.problem = event.error.message;
      if (this.stopped || !this.blocks.length) this.socket.close();
    }
  }

  /** Stop to record, and let the server finish. */
  stop() {
    this.stopped = true;
    this.release();
    this.send({ type: "input_audio_buffer.commit" });
    this.send({ type: "input_audio_buffer.clear" }); // its answer comes last: items of pauses may still be under way
  }

  release() {
    this.media.getTracks().forEach((track) => track.stop());
    this.context?.close();
  }

  end(reason) {
    if (!this.stopped) this.release();
    const rate = this.context.sampleRate, name = `recording ${new Date().toTimeString().slice(0, 8)}.wav`;
    const seconds = this.blocks.reduce((sum, block) => sum + block.length, 0) / rate;
    this.done(toWav(this.blocks, rate, name), toTranscript(this.items, seconds), this.problem || reason);
  }
}
