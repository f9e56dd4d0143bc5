"""Waveforms to features: log-mel, MFCC, Kaldi filterbank, PCEN, spectrogram.

All of them run batched and in float32 on the waveform's device, are differentiable, and ignore padding: what
lies past an utterance's length changes nothing, and their output is zero there. The settings are explained in
`conf/features/`.
"""

from speechlstm.model.features.base import Features
from speechlstm.model.features.fbank import KaldiFbank
from speechlstm.model.features.logmel import LogMel
from speechlstm.model.features.mfcc import Mfcc, differences
from speechlstm.model.features.pcen import Pcen
from speechlstm.model.features.spectrogram import Spectrogram

__all__ = ["Features", "KaldiFbank", "LogMel", "Mfcc", "Pcen", "Spectrogram", "differences"]
