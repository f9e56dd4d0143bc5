"""Augmentation of the training data: recording conditions, speed, and masks in the features.

Waveforms are changed one by one where they are loaded, features in batches on the device that trains. The settings are
explained in `conf/augment/`.
"""

from speechlstm.training.augment.chain import Chain
from speechlstm.training.augment.channel import BandLimit, Codec, Gain
from speechlstm.training.augment.noise import Noise
from speechlstm.training.augment.reverb import Reverb
from speechlstm.training.augment.silence import Silence
from speechlstm.training.augment.specaugment import SpecAugment
from speechlstm.training.augment.speed import SpeedPerturb, at_speed
from speechlstm.training.augment.waveform import Change

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
    "at_speed",
]
