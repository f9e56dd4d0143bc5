"""How fast is a training step of the encoder: exact padded path against packed sequences, and against the machine.

    python benchmarks/encoder_step.py [threads]

Both paths run the same weights on the same batch in turn, forward and backward, and must agree. The machine's rate is
measured by a 2048 x 2048 float32 matrix product in the same run; the step's work counts the multiply-adds of the
convolutions, the recurrent layers and the linear maps, times three for the backward pass.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from speechlstm.model.encoder import Encoder, RecurrentLayer

BATCH, FRAMES, FEATURES, VOCAB = 16, 600, 80, 30  # utterances of up to 6 s at 10 ms


class PackedLayer(RecurrentLayer):
    """The same layer with packed sequences, as is usual."""

    def forward(self, x: Tensor, lengths: Tensor, reverse: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.norm(x), lengths, batch_first=True, enforce_sorted=False)
        output, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.shape[1])
        output = self.dropout(self.project(output))
        return x + output if self.residual else output


def step(encoder: Encoder, features: Tensor, lengths: Tensor, dtype: torch.dtype) -> Tensor:
    """Run forward and backward; return the log-probabilities."""
    encoder.zero_grad()
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        log_probs, _ = encoder(features, lengths)
    log_probs.sum().backward()
    return log_probs.detach()


def seconds(run: Callable[[], object], repeats: int = 7) -> float:
    """Return the median time of a call, after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def multiply_adds(encoder: Encoder, frames: int) -> float:
    """Return the multiply-adds of a forward pass over so many frames of features."""
    first, second = encoder.subsample.strides
    bands, total = FEATURES, 0.0
    for conv, stride in ((encoder.subsample.conv1, first), (encoder.subsample.conv2, second)):
        frames, bands = -(-frames // stride), -(-bands // 2)
        total += conv.weight.numel() * frames * bands
    matrices = [p for name, p in encoder.named_parameters() if p.dim() == 2 and "conv" not in name]
    return total + frames * sum(p.numel() for p in matrices)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    torch.manual_seed(0)
    a = torch.randn(2048, 2048)
    rate = 2 * 2048**3 / seconds(lambda: a @ a)
    print(f"{torch.get_num_threads()} threads, matrix product {rate / 1e9:.0f} GFLOP/s in float32")
    print(
        f"batch {BATCH} x up to {FRAMES / 100:.0f} s; lengths uniform in the upper half; forward + backward\n"
    )
    print("layers x units  precision   packed  padded  ratio  x real time  share of the matrix-product rate")
    for layers, units in ((3, 256), (4, 320)):
        padded = Encoder(FEATURES, VOCAB, hidden_size=units, num_layers=layers, dropout=0.0)
        packed = Encoder(FEATURES, VOCAB, hidden_size=units, num_layers=layers, dropout=0.0)
        width = 2 * units
        packed.layers = nn.ModuleList(
            PackedLayer("lstm", width, units, None, 0.0, True, True) for _ in range(layers)
        )
        packed.load_state_dict(padded.state_dict())
        features = torch.randn(BATCH, FRAMES, FEATURES)
        lengths = torch.randint(FRAMES // 2, FRAMES + 1, (BATCH,))
        lengths[0] = FRAMES
        audio = int(lengths.sum()) / 100
        for dtype in (torch.float32, torch.bfloat16):
            slow = seconds(partial(step, packed, features, lengths, dtype))
            fast = seconds(partial(step, padded, features, lengths, dtype))
            both = (step(encoder, features, lengths, dtype) for encoder in (packed, padded))
            difference = (next(both) - next(both)).abs().max()
            assert difference < (1e-4 if dtype == torch.float32 else 0.2), f"the paths differ by {difference}"
            share = 6 * BATCH * multiply_adds(padded, FRAMES) / fast / rate
            name = str(dtype).removeprefix("torch.")
            print(
                f"{layers} x {units:<11} {name:<10} {slow:6.2f} s {fast:5.2f} s {slow / fast:5.2f} "
                f"{audio / fast:10.0f} {share:12.0%}"
            )


if __name__ == "__main__":
    main()
