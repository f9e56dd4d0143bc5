"""Waveforms to features: log-mel, MFCC, Kaldi filterbank, spectrogram.

All of them run batched and in float32 on the waveform's device, are differentiable, and ignore padding: what
lies past an utterance's length changes nothing, and their output is zero there.
"""

from speechlstm.features.base import Features
from speechlstm.features.fbank import KaldiFbank
from speechlstm.features.logmel import LogMel
from speechlstm.features.mfcc import Mfcc, differences
from speechlstm.features.spectrogram import Spectrogram

__all__ = ["Features", "KaldiFbank", "LogMel", "Mfcc", "Spectrogram", "differences"]
