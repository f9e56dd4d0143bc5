"""Audio files to mono waveforms: the only place that opens audio.

libsndfile (through soundfile) reads wav, flac, ogg, opus and NIST sphere; ffmpeg (through PyAV) reads m4a,
mp4, webm, aac, and also mp3, because libsndfile guesses the length of an mp3 without a length header and
cuts it there. Neither complains when a file ends early or holds nonsense, so everything is checked here.
A path may also name a file inside a tar archive (`speechlstm.data.audio.tar`).
"""

from speechlstm.data.audio.files import AUDIO_SUFFIXES
from speechlstm.data.audio.load import AudioInfo, AudioInput, audio_info, audio_name, load_audio
from speechlstm.data.audio.tar import holder

__all__ = ["AUDIO_SUFFIXES", "AudioInfo", "AudioInput", "audio_info", "audio_name", "holder", "load_audio"]
