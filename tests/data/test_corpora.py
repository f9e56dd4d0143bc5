"""Importers of published corpora, on small ones in their layouts and on the real ones where they are."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from small_corpora import sound, texts, write

from speechlstm import configs
from speechlstm.data.corpora import (
    an4,
    audiofolder,
    common_voice,
    fsdd,
    kaldi,
    librispeech,
    speech_commands,
    text_files,
    yesno,
)
from speechlstm.data.corpora.base import Corpus, measure, with_dev
from speechlstm.types import UsageError


def an4_corpus(root: Path, suffix: str = ".sph", speakers: int = 3) -> Path:
    names = [
        (f"s{speaker}", f"an{speaker}{take}-s{speaker}-b") for speaker in range(speakers) for take in range(2)
    ]
    for part, folder, names_ in (
        ("train", "an4_clstk", names),
        ("test", "an4test_clstk", [("t", "an9-t-b")]),
    ):
        write(root / f"etc/an4_{part}.fileids", *(f"{folder}/{speaker}/{name}" for speaker, name in names_))
        # the test part's transcripts have no sentence marks
        marks = ("<s> ", " </s>") if part == "train" else ("", "")
        lines = (f"{marks[0]}RUBOUT T  ONE{marks[1]} ({name})" for _, name in names_)
        write(root / f"etc/an4_{part}.transcription", *lines)
        for speaker, name in names_:
            sound(root / "wav" / folder / speaker / f"{name}{suffix}", 0.5)
    return root


@pytest.mark.parametrize("suffix", [".sph", ".raw", ".wav", ".flac"])
def test_an4_in_every_format_it_is_published_in(tmp_path: Path, suffix: str) -> None:
    corpus = with_dev(measure(an4.read(an4_corpus(tmp_path, suffix))), 0.1, 0)
    assert corpus.problems == []
    assert texts(corpus.splits["test"]) == {"an9-t-b": "RUBOUT T ONE"}
    assert {len(split) for split in (corpus.splits["train"], corpus.splits["dev"])} == {4, 2}
    speakers = [{utterance.speaker for utterance in corpus.splits[name]} for name in ("train", "dev")]
    assert not speakers[0] & speakers[1]
    assert all(u.duration == pytest.approx(0.5) for split in corpus.splits.values() for u in split)


def test_an4_dev_ids_decide_and_a_stray_one_is_named(tmp_path: Path) -> None:
    write(an4_corpus(tmp_path) / "dev.ids", "an00-s0-b", "an21-s2-b", "an77-s7-b")
    corpus = an4.read(tmp_path)
    assert list(texts(corpus.splits["dev"])) == ["an00-s0-b", "an21-s2-b"]
    assert len(corpus.splits["train"]) == 4
    assert corpus.problems == [f"{tmp_path}/dev.ids: an77-s7-b is not in an4_train.fileids"]


def test_an4_lines_that_do_not_fit_are_named_with_their_place(tmp_path: Path) -> None:
    transcription = an4_corpus(tmp_path) / "etc/an4_train.transcription"
    transcription.write_text(transcription.read_text().replace(" (an00-s0-b)", ""))
    problems = an4.read(tmp_path).problems
    assert problems[0] == f"{transcription}:1: expected 'TEXT (id)', found '<s> RUBOUT T  ONE </s>'"
    assert problems[1].startswith(f"{tmp_path}/etc/an4_train.fileids:1: an00-s0-b is not in")


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    for digit in (0, 7):
        for speaker in ("theo", "lucas", "jackson"):
            for index in range(3, 9):
                sound(tmp_path / "recordings" / f"{digit}_{speaker}_{index}.wav", rate=8000)
    return tmp_path


def test_fsdd_official_test_part(digits: Path) -> None:
    splits = with_dev(fsdd.read(digits), 0.25, 0).splits
    assert {name: len(split) for name, split in splits.items()} == {"train": 18, "dev": 6, "test": 12}
    assert {u.id.rpartition("_")[2] for u in splits["test"]} == {"3", "4"}
    assert {u.text for u in splits["train"]} == {"zero", "seven"}
    assert {u.speaker for u in splits["dev"]} == {"theo", "lucas", "jackson"}  # a share of each


def test_fsdd_one_speaker_left_out(digits: Path) -> None:
    splits = with_dev(fsdd.read(digits, held_out_speaker="theo"), 0.1, 0).splits
    assert {u.speaker for u in splits["test"]} == {"theo"}
    assert len(splits["test"]) == 12
    assert "theo" not in {u.speaker for name in ("train", "dev") for u in splits[name]}
    with pytest.raises(UsageError, match="no speaker 'bob'; there are: jackson, lucas, theo"):
        fsdd.read(digits, held_out_speaker="bob")


def test_yesno_first_31_files_by_name_train(tmp_path: Path) -> None:
    names = [f"{number:08b}" for number in range(60)]
    for name in names:
        sound(tmp_path / "waves_yesno" / f"{'_'.join(name)}.wav", rate=8000)
    sound(tmp_path / "waves_yesno" / "noise.wav")
    corpus = with_dev(yesno.read(tmp_path), 0.1, 0)
    order = ["_".join(name) for name in names]
    assert list(texts(corpus.splits["test"])) == order[31:]
    assert sorted([*texts(corpus.splits["train"]), *texts(corpus.splits["dev"])]) == order[:31]
    assert texts(corpus.splits["test"])["0_0_1_0_0_0_0_1"] == "no no yes no no no no yes"
    assert len(corpus.problems) == 1 and "noise.wav: expected a name like" in corpus.problems[0]
    assert with_dev(yesno.read(tmp_path / "waves_yesno"), 0.1, 0).splits == corpus.splits


def words(root: Path) -> Path:
    for word in ("left", "zero"):
        for speaker in range(12):
            sound(root / word / f"{speaker:08x}_nohash_0.wav")
    sound(root / "_background_noise_" / "pink_noise.wav")
    return root


def test_speech_commands_speakers_stay_together(tmp_path: Path) -> None:
    corpus = speech_commands.read(words(tmp_path), dev_percent=30, test_percent=30)
    assert not corpus.problems
    speakers = {name: {u.speaker for u in split} for name, split in corpus.splits.items()}
    assert sum(len(split) for split in corpus.splits.values()) == 24
    assert sum(map(len, speakers.values())) == 12 == len(set.union(*speakers.values()))
    assert {u.id for split in corpus.splits.values() for u in split} >= {
        "left_00000000_nohash_0",
        "zero_00000000_nohash_0",
    }


def test_speech_commands_published_lists_decide(tmp_path: Path) -> None:
    write(words(tmp_path) / "validation_list.txt", "left/00000003_nohash_0.wav")
    write(tmp_path / "testing_list.txt", "zero/00000005_nohash_0.wav")
    splits = speech_commands.read(tmp_path).splits
    assert list(texts(splits["dev"]).values()) == ["left"]
    assert [u.speaker for u in splits["test"]] == ["00000005"]
    assert len(splits["train"]) == 22


def which_set(filename: str, validation_percentage: float, testing_percentage: float) -> str:
    """The function in the corpus's README, unchanged but for its name for `train`."""
    max_num_wavs_per_class = 2**27 - 1
    base_name = Path(filename).name
    hash_name = re.sub(r"_nohash_.*$", "", base_name)
    hash_name_hashed = hashlib.sha1(hash_name.encode()).hexdigest()
    percentage_hash = (int(hash_name_hashed, 16) % (max_num_wavs_per_class + 1)) * (
        100.0 / max_num_wavs_per_class
    )
    if percentage_hash < validation_percentage:
        return "dev"
    return "test" if percentage_hash < (testing_percentage + validation_percentage) else "train"


@settings(max_examples=50)
@given(st.from_regex(r"[0-9a-f]{8}", fullmatch=True), st.floats(0, 50), st.floats(0, 50))
def test_speech_commands_splits_as_its_authors_do(speaker: str, dev: float, test: float) -> None:
    expected = which_set(f"left/{speaker}_nohash_3.wav", dev, test)
    assert speech_commands.which_split(speaker, dev, test) == expected


@pytest.fixture
def books(tmp_path: Path) -> Path:
    for part, speaker in (("train-clean-5", "19"), ("dev-clean", "84")):
        chapter = tmp_path / "LibriSpeech" / part / speaker / "121"
        name = f"{speaker}-121"
        write(chapter / f"{name}.trans.txt", f"{name}-0000 IT'S  HERE", f"{name}-0001 TWO", f"{name}-0002")
        sound(chapter / f"{name}-0000.flac")
        sound(chapter / f"{name}-0001.flac")
    return tmp_path


def test_librispeech_parts_become_splits(books: Path) -> None:
    corpus = librispeech.read(books)
    assert list(corpus.splits) == ["dev-clean", "train-clean-5"]
    assert texts(corpus.splits["train-clean-5"]) == {"19-121-0000": "IT'S  HERE", "19-121-0001": "TWO"}
    assert {u.speaker for u in corpus.splits["dev-clean"]} == {"84"}
    assert len(corpus.problems) == 2 and "84-121.trans.txt:3: expected 'id TEXT'" in corpus.problems[0]
    for root, found in ((books / "LibriSpeech", 2), (books / "LibriSpeech" / "dev-clean", 1)):
        assert len(librispeech.read(root).splits) == found
    assert list(librispeech.read(books, parts=["dev-clean"]).splits) == ["dev-clean"]
    with pytest.raises(UsageError, match="no part 'test-clean'; there are: dev-clean, train-clean-5"):
        librispeech.read(books, parts=["test-clean"])


def test_common_voice(tmp_path: Path) -> None:
    header = "client_id\tpath\tsentence\tup_votes\tlocale"
    write(
        tmp_path / "train.tsv",
        header,
        'abc\tone.mp3\t"Hello" she\u2028said.\t2\ten',
        "abc\ttwo.mp3\t\t2\ten",
        "def\tthree\tOld release\t2\ten",
    )
    write(tmp_path / "dev.tsv", header, "ghi\tfour.mp3\tFour\t2\ten")
    sound(tmp_path / "clips" / "one.mp3", 0.5)
    corpus = common_voice.read(tmp_path)
    assert texts(corpus.splits["train"]) == {"one": '"Hello" she\u2028said.', "three": "Old release"}
    assert corpus.splits["train"][1].audio_filepath == str(tmp_path / "clips" / "three.mp3")
    assert (corpus.splits["dev"][0].speaker, corpus.splits["dev"][0].lang) == ("ghi", "en")
    assert corpus.problems == [f"{tmp_path}/train.tsv:3: no sentence"]
    measured = measure(corpus)
    assert [u.id for u in measured.splits["train"]] == ["one"]
    assert len(measured.problems) == 3  # and the two clips that are not there


def test_common_voice_takes_every_line_for_a_row(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    rows = ["one.mp3\ta carriage\rreturn", "two.mp3", f"three.mp3\t{'x' * 200_000}", "four.mp3\tfour\tmore"]
    write(tmp_path / "train.tsv", "path\tsentence", *rows)
    corpus = common_voice.read(tmp_path)
    assert texts(corpus.splits["train"]) == {
        "one": "a carriage\rreturn",
        "three": "x" * 200_000,
        "four": "four",
    }
    assert corpus.problems == [f"{tmp_path}/train.tsv:3: no sentence"]


IMPORTERS = [an4, audiofolder, common_voice, fsdd, kaldi, librispeech, speech_commands, text_files, yesno]


@pytest.mark.parametrize("importer", IMPORTERS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_a_wrong_folder_is_answered_with_what_was_expected(importer: object, tmp_path: Path) -> None:
    read: Callable[..., Corpus] = importer.read  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="no such folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"expected .* in it, found nothing|no audio files in it"):
        read(tmp_path)
    write(tmp_path / "holiday.jpg", "?")
    with pytest.raises(UsageError, match=r"expected|no audio files"):
        read(tmp_path)


@pytest.mark.parametrize("importer", IMPORTERS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_every_importer_has_a_config_that_builds_it(importer: object, tmp_path: Path) -> None:
    name = importer.__name__.rpartition(".")[2]  # type: ignore[attr-defined]
    config = OmegaConf.load(configs.CONF / "corpus" / f"{name}.yaml")
    parameters = set(inspect.signature(importer.read).parameters)  # type: ignore[attr-defined]
    assert set(config) == parameters - {"root"} | {"_target_"}
    with pytest.raises(UsageError, match="expected"):
        configs.build(config, root=tmp_path)


REAL = {
    "an4": {"train": 848, "dev": 100},
    "fsdd": {"train": 2430, "dev": 270},
    "librispeech": {"train-clean-5": 1519, "dev-sample": 240},
    "yesno": {"train": 27, "dev": 4, "test": 29},
    "speech_commands": {"train": 4500, "dev": 500},
}


@pytest.mark.parametrize("name", REAL)
def test_real_corpora(corpora: Path, name: str) -> None:
    if not (corpora / name).is_dir():
        pytest.skip(f"no {name} at {corpora}")
    corpus = configs.build(OmegaConf.load(configs.CONF / "corpus" / f"{name}.yaml"), root=corpora / name)
    corpus = with_dev(corpus, 0.1, 0)
    assert corpus.problems == []
    assert {split: len(utterances) for split, utterances in corpus.splits.items()} == REAL[name]
    assert all(Path(u.audio_filepath).is_file() for split in corpus.splits.values() for u in split)
