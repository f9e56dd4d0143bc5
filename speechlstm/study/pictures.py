"""A picture for each validation: the features of one utterance, and the output of the network for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray

from speechlstm.evaluation.plots import can_draw, colormap, figure
from speechlstm.training.loggers import log_image, shows_images
from speechlstm.training.module import TrainingModule
from speechlstm.types import Batch

_LIKELY = 0.1  # a token is shown where it gets this probability in some frame
_MOST = 40  # tokens that are shown


class PosteriorPicture(pl.Callback):
    """Draws features and CTC posteriors of one utterance in each validation, as `val/posteriors`.

    The utterance is the longest of the middle batch, which is the same each time. At first the output is only blanks;
    later the tokens form a descending line of short spikes. Nothing is drawn without matplotlib, or if no logger, such
    as TensorBoard's, shows pictures.
    """

    @torch.no_grad()
    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Draw the utterance in the middle of a validation, on the first rank alone."""
        middle = int(trainer.num_val_batches[dataloader_idx]) // 2
        if trainer.sanity_checking or batch_idx != middle or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, TrainingModule)
        boards = [logger for logger in trainer.loggers if shows_images(logger)]
        if not boards or not can_draw():
            return
        index, stages = pl_module.trace_longest(batch)
        model, only = pl_module.acoustic, [batch.utterances[index]]
        one = Batch(batch.waveforms, batch.lengths, batch.targets, batch.target_lengths, only)
        [(name, reference, hypothesis)] = pl_module.transcripts(one, stages.log_probs, stages.lengths)
        picture = draw(
            stages.features[0, : int(stages.feature_lengths)].float().cpu().numpy(),
            stages.log_probs[0, : int(stages.lengths)].float().exp().cpu().numpy(),
            pl_module.tokenizer.tokens,
            model.feature_shift,
            f"{name}, epoch {trainer.current_epoch}\nreference: {reference}\nhypothesis: {hypothesis}",
        )
        for board in boards:
            log_image(board, "val/posteriors", picture, trainer.global_step)


def draw(
    features: NDArray[np.float32],
    posteriors: NDArray[np.float32],
    tokens: list[str],
    frame_shift: float,
    title: str,
) -> NDArray[np.uint8]:
    """Draw features above posteriors, on one time axis; return `(height, width, 3)` in RGB.

    Features are `(frames, features)`, `frame_shift` seconds apart, posteriors `(encoder frames, vocab)` probabilities.
    Tokens that are likely somewhere get a row, in the order of their peaks.
    """
    import librosa.display  # with numba, which takes half a second
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # without pyplot: no window system

    highest = posteriors.max(axis=0)
    likely = [int(index) for index in np.argsort(-highest[1:])[:_MOST] + 1 if highest[index] >= _LIKELY]
    rows = [0, *sorted(likely, key=lambda index: int(posteriors[:, index].argmax()))]
    seconds = len(features) * frame_shift
    with figure(10, 3.6 + 0.14 * len(rows), dpi=100) as drawn:
        canvas: Any = FigureCanvasAgg(drawn)
        ratios = [2.0, 0.6 + 0.14 * len(rows)]
        upper, lower = drawn.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": ratios})
        edges = np.linspace(0.0, seconds, len(features) + 1)
        bins = np.arange(features.shape[1] + 1)
        places: dict[str, Any] = {"x_coords": edges, "y_coords": bins, "x_axis": "s", "y_axis": "frames"}
        librosa.display.specshow(features.T, ax=upper, cmap=colormap("share"), **places)
        upper.set(ylabel="feature", xlabel="")
        upper.set_title(title, parse_math=False, wrap=True)
        image = lower.imshow(
            posteriors[:, rows].T, aspect="auto", interpolation="nearest", cmap=colormap("share"),
            vmin=0, vmax=1, extent=(0.0, seconds, len(rows) - 0.5, -0.5),
        )  # fmt: skip
        lower.set_yticks(range(len(rows)), [tokens[index] for index in rows], fontsize=8, parse_math=False)
        lower.set_xlabel("time (s)")
        drawn.colorbar(image, ax=lower, label="probability", pad=0.01)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()
