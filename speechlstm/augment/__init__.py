"""Changed copies of the training data: what a waveform's way to the file did to it, its speed, masks in its features.

Waveforms are changed one by one where they are loaded, features in batches on the device that trains.
"""

from speechlstm.augment.channel import BandLimit, Codec, Gain
from speechlstm.augment.noise import Noise
from speechlstm.augment.reverb import Reverb
from speechlstm.augment.silence import Silence
from speechlstm.augment.specaugment import SpecAugment
from speechlstm.augment.speed import SpeedPerturb, TempoPerturb, at_speed, at_tempo
from speechlstm.augment.waveform import Chain, Change

__all__ = [
    "BandLimit",
    "Chain",
    "Change",
    "Codec",
    "Gain",
    "Noise",
    "Reverb",
    "Silence",
    "SpecAugment",
    "SpeedPerturb",
    "TempoPerturb",
    "at_speed",
    "at_tempo",
]
