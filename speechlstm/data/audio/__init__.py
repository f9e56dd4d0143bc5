"""Audio files to mono waveforms: the only place that opens audio.

libsndfile (through soundfile) reads wav, flac, aiff, au, NIST sphere and the like; ffmpeg (through PyAV) reads mp3,
Ogg, m4a, mp4, webm and all else, and what libsndfile gives up. Headers are hints: what counts is what can be decoded,
and where time stamps put it. What is missing is an error, or a warning if the caller takes what can be read. Memory
does not grow with the size of the file. A path may also name a file in a tar archive (`speechlstm.data.audio.tar`).
"""

from speechlstm.data.audio.files import AUDIO_SUFFIXES, check_exists
from speechlstm.data.audio.folders import search
from speechlstm.data.audio.load import (
    AudioInfo,
    AudioInput,
    audio_format,
    audio_info,
    audio_name,
    kept,
    load_audio,
    parse_channel,
    stream_audio,
)
from speechlstm.data.audio.mixing import too_loud
from speechlstm.data.audio.pipes import Piped, is_pipe, is_stdin
from speechlstm.data.audio.tar import holder, holders

__all__ = [
    "AUDIO_SUFFIXES",
    "AudioInfo",
    "AudioInput",
    "Piped",
    "audio_format",
    "audio_info",
    "audio_name",
    "check_exists",
    "holder",
    "holders",
    "is_pipe",
    "is_stdin",
    "kept",
    "load_audio",
    "parse_channel",
    "search",
    "stream_audio",
    "too_loud",
]
