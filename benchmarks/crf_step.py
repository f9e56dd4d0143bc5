"""What does CTC-CRF cost? A training step with it against one with plain CTC, in turn in one run.

    OMP_NUM_THREADS=1 python benchmarks/crf_step.py [BATCH FRAMES HIDDEN LAYERS VOCAB]

A step is here forward, loss, backward, clip and update of the recurrent encoder (with the lower layers' CTC loss, as
in experiment=english) on padded features; loader and features, which a real step has besides, cost the same for both.
Time is the processor's. The n-gram is of 2,000 random texts: the sweeps take as long whatever it says.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch

from speechlstm.model.encoder import Encoder
from speechlstm.training.loss import CrfLoss, CtcLoss

ROUNDS = 7


def main() -> None:
    given = [int(each) for each in sys.argv[1:]]
    batch, frames, hidden, layers, vocab = given + [12, 150, 256, 3, 41][len(given) :]
    generator = torch.Generator().manual_seed(0)
    encoder = Encoder(80, vocab, hidden_size=hidden, num_layers=layers, intermediate=[2])
    optimizer = torch.optim.AdamW(encoder.parameters())
    features = torch.randn(batch, 4 * frames, 80, generator=generator)
    lengths = torch.linspace(3.5 * frames, 4 * frames, batch).long()
    targets = torch.randint(1, vocab, (batch, frames // 2), generator=generator)
    target_lengths = lengths // 8 - 1
    texts = torch.randint(1, vocab, (2000, 60), generator=generator).tolist()
    losses = {"ctc": CtcLoss(), "ctc_crf": CrfLoss()}
    taken: dict[str, list[float]] = {name: [] for name in losses}
    for loss in losses.values():
        loss.prepare(texts, vocab)
    for step in range(ROUNDS + 1):
        for name, loss in losses.items():
            begun = time.process_time()
            log_probs, out, *middle = encoder(features, lengths)
            loss(log_probs, targets, out, target_lengths, middle)[0].backward()
            torch.nn.utils.clip_grad_norm_(encoder.parameters(), 5.0)
            optimizer.step()
            optimizer.zero_grad()
            if step:  # the first compiles
                taken[name].append(time.process_time() - begun)
    print(
        f"{batch} x {frames} frames, {layers} x {hidden}, {vocab} tokens, {torch.get_num_threads()} threads"
    )
    for name, seconds in taken.items():
        print(
            f"{name:8} {statistics.median(seconds):.3f} s a step ({min(seconds):.3f} to {max(seconds):.3f})"
        )
    ratios = [crf / ctc for crf, ctc in zip(taken["ctc_crf"], taken["ctc"], strict=True)]
    print(f"ratio    {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
