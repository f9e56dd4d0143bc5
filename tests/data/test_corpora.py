"""Importers, on small corpora in the published layouts and on the real ones where they are."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

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
from speechlstm.data.corpora.base import AudioFinder, Corpus, hold_out, measure, with_dev
from speechlstm.types import UsageError, Utterance


def sound(path: Path, seconds: float = 0.1, rate: int = 16000) -> Path:
    """Write noise in the format of the suffix; `.raw` is headerless 16-bit big-endian."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(len(str(path))).uniform(-0.5, 0.5, round(seconds * rate))
    if path.suffix == ".raw":
        path.write_bytes((samples * 32767).astype(">i2").tobytes())
    else:
        options = {"format": "NIST", "subtype": "PCM_16"} if path.suffix == ".sph" else {}
        soundfile.write(path, samples, rate, **options)
    return path


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def texts(split: list[Utterance]) -> dict[str, str]:
    return {utterance.id: utterance.text for utterance in split}


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


def data_directory(folder: Path) -> Path:
    sound(folder / "a.wav", 2.0)
    sound(folder / "b.wav", 1.0)
    write(folder / "wav.scp", "a a.wav", f"b {folder}/b.wav")
    write(folder / "segments", "a-1 a 0.0 0.5", "a-2 a 0.5 1.25", "b-1 b 0.2 -1")
    write(folder / "text", "a-1 one two", "a-2 three", "b-1 four", "c-9 nothing")
    write(folder / "utt2spk", "a-1 anna", "a-2 anna", "b-1 bert")
    return folder


def test_kaldi_segments(tmp_path: Path) -> None:
    corpus = measure(kaldi.read(data_directory(tmp_path)))
    found = [(u.id, u.text, u.offset, round(u.duration, 6), u.speaker) for u in corpus.splits["train"]]
    assert found == [
        ("a-1", "one two", 0.0, 0.5, "anna"),
        ("a-2", "three", 0.5, 0.75, "anna"),
        ("b-1", "four", 0.2, 0.8, "bert"),
    ]
    assert corpus.problems == [f"{tmp_path}/text:4: c-9 is not in segments"]


def test_kaldi_without_segments_and_with_several_directories(tmp_path: Path) -> None:
    for name in ("train", "valid", "eval"):
        (data_directory(tmp_path / name) / "segments").unlink()
        write(tmp_path / name / "text", "a A", "b B")
    corpus = kaldi.read(tmp_path)
    assert sorted(corpus.splits) == ["dev", "eval", "train"]
    assert texts(corpus.splits["dev"]) == {"a": "A", "b": "B"}
    assert [u.duration for u in measure(corpus).splits["eval"]] == [2.0, 1.0]


@pytest.mark.parametrize(
    ("file", "lines", "message"),
    [
        ("wav.scp", ["a a.wav", "b sox b.mp3 -t wav - |"], r"wav.scp:2: b is the output of a command \(sox"),
        ("wav.scp", ["a a.wav", "a b.wav"], r"wav.scp:2: a stands in line 1 already"),
        (
            "segments",
            ["a-1 a 0 0.5", "a-2 a 1.0 0.5"],
            "segments:2: expected 'utterance recording begin end'",
        ),
        ("segments", ["a-1 a zero 0.5"], "segments:1: expected"),
        ("segments", ["a-1 a 0"], "segments:1: expected"),
        ("segments", ["a-1 a nan 0.5"], "segments:1: expected"),
    ],
)
def test_kaldi_refuses(tmp_path: Path, file: str, lines: list[str], message: str) -> None:
    write(data_directory(tmp_path) / file, *lines)
    with pytest.raises(UsageError, match=message):
        kaldi.read(tmp_path)


def test_audiofolder_csv_with_commas_and_line_breaks(tmp_path: Path) -> None:
    sound(tmp_path / "sub" / "a.wav")
    sound(tmp_path / "left.wav")
    write(
        tmp_path / "metadata.csv",
        "file_name,transcription,speaker_id",
        'sub/a.wav,"one, two\nthree",s1',
        "sub/b.wav,,s2",
    )
    corpus = audiofolder.read(tmp_path)
    assert texts(corpus.splits["train"]) == {"sub/a": "one, two\nthree"}
    assert corpus.splits["train"][0].speaker == "s1"
    assert corpus.problems == [
        f"{tmp_path}/metadata.csv:4: no transcription",
        f"{tmp_path}/left.wav: not in metadata.csv",
    ]


@pytest.mark.parametrize("above", ["", "data"])
def test_audiofolder_jsonl_per_split(tmp_path: Path, above: str) -> None:
    for split in ("train", "validation"):
        for number in range(3):
            sound(tmp_path / above / split / f"{number}.wav")
        lines = (json.dumps({"file_name": f"{number}.wav", "text": split}) for number in range(3))
        write(tmp_path / above / split / "metadata.jsonl", *lines)
    corpus = audiofolder.read(tmp_path)
    assert {name: len(split) for name, split in corpus.splits.items()} == {"train": 3, "dev": 3}
    assert not measure(corpus).problems


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"file_name": "a.wav"}'], "metadata.jsonl:1: needs file_name and one of transcription, text"),
        (['{"file_name": "a.wav", "text": "x"}', "{"], "metadata.jsonl:2: not JSON"),
        (["[1]"], "metadata.jsonl:1: a JSON list"),
        (['{"file_name": ' + "9" * 5000 + "}"], "metadata.jsonl:1: not JSON .a number of 5000 digits"),
        (["[" * 100_000], "metadata.jsonl:1: not JSON .nested too deeply"),
    ],
)
def test_audiofolder_refuses(tmp_path: Path, lines: list[str], message: str) -> None:
    write(tmp_path / "metadata.jsonl", *lines)
    with pytest.raises(UsageError, match=message):
        audiofolder.read(tmp_path)


def test_text_files(tmp_path: Path) -> None:
    for number in range(10):
        write(sound(tmp_path / "train" / "anna" / f"{number}.wav").with_suffix(".txt"), " one", "", "two ")
    sound(tmp_path / "train" / "bert" / "lost.wav")
    write(sound(tmp_path / "test" / "0.flac").with_suffix(".txt"), "three")
    write(sound(tmp_path / "test" / "1.flac").with_suffix(".txt"), " ")
    write(tmp_path / "train" / "bert" / "silent.txt", "no sound")
    corpus = with_dev(text_files.read(tmp_path, speaker_from_folder=True), 0.1, 0)
    assert {name: len(split) for name, split in corpus.splits.items()} == {"train": 9, "dev": 1, "test": 1}
    assert set(texts(corpus.splits["train"]).values()) == {"one two"}
    assert corpus.splits["train"][0].speaker == "anna"
    assert corpus.problems == [
        f"{tmp_path}/test/1.txt: empty",
        f"{tmp_path}/train/bert/lost.wav: no lost.txt beside it",
        f"{tmp_path}/train/bert/silent.txt: no audio of that name beside it",
    ]


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


def utterance(number: int, speaker: str | None) -> Utterance:
    return Utterance(f"{number}.wav", 1.0, "", str(number), speaker=speaker)


@given(
    st.lists(st.sampled_from(["a", "b", "c", "d", None]), max_size=40),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 9),
)
def test_holding_out_divides_by_speaker(speakers: list[str | None], fraction: float, seed: int) -> None:
    utterances = [utterance(number, speaker) for number, speaker in enumerate(speakers)]
    splits = with_dev(Corpus({"train": utterances}), fraction, seed).splits
    rest, held = splits.get("train", []), splits.get("dev", [])
    assert sorted([*rest, *held], key=lambda u: int(u.id)) == utterances
    assert [rest, held] == [[u for u in utterances if u in part] for part in (rest, held)]  # in order
    if len(set(speakers)) > 1:
        assert not ({u.speaker for u in rest} & {u.speaker for u in held}) - {None}
    assert bool(rest) == bool(utterances)
    if fraction == 0:
        assert not held
    elif len(set(speakers)) == 1 and len(speakers) > 1:  # by utterance, so almost exactly
        assert abs(len(held) - fraction * len(utterances)) <= 1
    assert with_dev(Corpus({"train": list(utterances)}), fraction, seed).splits == splits


def test_holding_out_depends_on_the_seed() -> None:
    utterances = [utterance(number, f"s{number // 5}") for number in range(100)]
    chosen = {frozenset(hold_out(utterances, 0.1, seed)) for seed in range(5)}
    assert len(chosen) > 1 and {len(ids) for ids in chosen} == {10}


def test_an_official_dev_set_is_left_alone() -> None:
    splits = {"train": [utterance(n, None) for n in range(9)], "dev": [utterance(9, None)]}
    for corpus in (Corpus(splits), Corpus({"eval": splits["train"]})):
        assert with_dev(corpus, 0.5, 0) is corpus


def test_measuring_names_what_cannot_be_used(tmp_path: Path) -> None:
    good = sound(tmp_path / "good.wav", 1.0)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("this is no audio" * 10)
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    names = ["good", "empty", "text", "none", "gone"]
    split = [Utterance(str(tmp_path / f"{name}.wav"), 0.0, "x", name) for name in names]
    split += [
        Utterance(str(good), 0.0, "x", "good"),
        Utterance(str(good), 0.5, "x", "late", offset=1.5),
        Utterance(str(good), 0.9, "x", "long", offset=0.5),
        Utterance(str(good), 0.55, "x", "rounded", offset=0.5),
        Utterance(str(good), 0.0, "x", "rest", offset=0.25),
    ]
    corpus = measure(Corpus({"train": split}, ["before"]))
    assert {u.id: u.duration for u in corpus.splits["train"]} == {"good": 1.0, "rounded": 0.5, "rest": 0.75}
    reasons = dict(zip(["", *names[1:], "good", "late", "long"], corpus.problems, strict=True))
    assert reasons[""] == "before"
    assert all(reasons[name].startswith(f"{tmp_path}/{name}.wav: ") for name in names[1:])
    assert "id 'good' occurs twice in train" in reasons["good"]
    assert "begins at 1.5 s but the file ends at 1 s" in reasons["late"]
    assert "should last 0.9 s from 0.5 s on, but the file ends at 1 s" in reasons["long"]


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


def test_lossless_audio_is_preferred(tmp_path: Path) -> None:
    for suffix in (".mp3", ".FLAC", ".opus", ".txt"):
        write(tmp_path / f"a.b{suffix}", "?")
    find = AudioFinder()
    assert find(tmp_path / "a.b") == tmp_path / "a.b.FLAC"
    assert find(tmp_path / "nowhere" / "a") == tmp_path / "nowhere" / "a.wav"
