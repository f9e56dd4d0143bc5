"use strict";

const SAMPLES = 2048; // of a message

/** Hands samples on as PCM in 16 bits. */
registerProcessor("pcm", class extends AudioWorkletProcessor {
  held = new Int16Array(SAMPLES);
  count = 0;

  process([[channel]]) {
    for (const sample of channel ?? []) {
      this.held[this.count++] = Math.max(-1, Math.min(1, sample)) * 32767;
      if (this.count === SAMPLES) {
        this.port.postMessage(this.held);
        this.held = new Int16Array(SAMPLES);
        this.count = 0;
      }
    }
    return true;
  }
});
