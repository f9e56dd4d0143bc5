"""Text into units: normalized as the recognizer's texts are, marks and blank lines left out, bad files named."""

from __future__ import annotations

import gzip
import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlstm.decoders.lm.corpus import Corpus, make_corpus, read_corpus, splitter
from speechlstm.model.tokenizer import Characters, Words, normalize
from speechlstm.types import ManifestError, SpeechlstmError

TEXT = "Ein  Übel\tkommt\n\n \nselten allein"  # the umlaut is two code points


def sentences(corpus: Corpus) -> list[list[str]]:
    """Return the sentences, which the stream must have between marks."""
    found: list[list[str]] = []
    for index in corpus.stream.tolist():
        if index == 1:
            found.append([])
        found[-1].append(corpus.words[index])
    assert all(sentence[0] == "<s>" and sentence[-1] == "</s>" for sentence in found)
    return [sentence[1:-1] for sentence in found]


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", "<unk>", "<UNK>", "<s>", "</S>", "é"]), max_size=5), max_size=6
    )
)
def test_the_stream_is_the_sentences(given_sentences: list[list[str]]) -> None:
    corpus = make_corpus(given_sentences)
    marks = {"<s>", "</S>"}
    left = [[word.replace("UNK", "unk") for word in each if word not in marks] for each in given_sentences]
    assert sentences(corpus) == [each for each in left if each]
    assert corpus.marks == sum(word in marks for each in given_sentences for word in each)
    assert (corpus.num_sentences, corpus.num_words) == (len(list(filter(None, left))), sum(map(len, left)))
    assert corpus.words[:3] == ["<unk>", "<s>", "</s>"] and len(set(corpus.words)) == len(corpus.words)


@given(st.text(), st.sampled_from(["lower", "upper", "keep"]))
def test_words_are_those_of_the_normalized_text(text: str, case: str) -> None:
    assert splitter("word", case)(text) == normalize(text, case).split()


def test_units() -> None:
    text = " Ab  ÜA "
    assert splitter("word", "upper")(text) == ["AB", "ÜA"]
    assert splitter("character", "keep")(text) == ["A", "b", "<space>", "Ü", "A"]
    characters = Characters.from_texts([text])
    assert (
        splitter("token", tokenizer=characters)(text)
        == splitter("character")(text)
        == ["a", "b", "<space>", "ü", "a"]
    )
    assert splitter("token", tokenizer=Words.from_texts([text], "upper"))(text) == ["AB", "ÜA"]
    assert splitter("word", "upper", characters)(text) == ["ab", "üa"], "the tokenizer's case"


def test_files_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    (tmp_path / "b").write_bytes(gzip.compress(TEXT.encode()))
    lines = [
        {"audio_filepath": f"{n}.wav", "duration": 1, "text": text}
        for n, text in enumerate(["Kein Übel", ""])
    ]
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, lines)))
    corpus = read_corpus(splitter("word"), [tmp_path / "a.txt", str(tmp_path / "b")], [tmp_path / "c.jsonl"])
    once = [["ein", "übel", "kommt"], ["selten", "allein"]]
    assert sentences(corpus) == [*once, *once, ["kein", "übel"]]
    assert corpus.words[3:] == ["ein", "übel", "kommt", "selten", "allein", "kein"]


def test_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text("a b\n" * 100_000))
    writer.start()
    assert read_corpus(splitter("word"), [tmp_path / "pipe"]).num_words == 200_000
    writer.join()


def test_what_a_tokenizer_cannot_write_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ab ba\nab3\nb\nc\n")
    corpus = read_corpus(splitter("token", tokenizer=Characters.from_texts(["a b"])), [tmp_path / "a.txt"])
    assert sentences(corpus) == [["a", "b", "<space>", "b", "a"], ["b"]]
    places = [problem.partition(": ")[0] for problem in corpus.problems]
    assert places == [f"{tmp_path / 'a.txt'}:2", f"{tmp_path / 'a.txt'}:4"]
    assert "'3' (1) not in the tokenizer's characters" in corpus.problems[0]


def test_lines_that_are_no_text_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"fine\ncaf\xe9\na\0b\n" + b"long " * 2_400_000 + b"\nwords\r\n")
    corpus = read_corpus(splitter("word"), [path])
    assert (corpus.words[3:], corpus.num_sentences) == (["fine", "words"], 2)
    reasons = ("2: not UTF-8 text (byte 0xe9 at 4)", "3: not text", "4: a line of more than 4 MB")
    for problem, reason in zip(corpus.problems, reasons, strict=True):
        assert problem.startswith(f"{path}:{reason}")
    path.write_bytes("one two\nthree\n".encode("utf-16"))
    assert read_corpus(splitter("word"), [path]).num_words == 3


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    (tmp_path / "blank").write_text("\n \n<s> </s>\n")
    (tmp_path / "latin").write_bytes(b"fine\ncaf\xe9 au lait\n")
    (tmp_path / "short.gz").write_bytes(gzip.compress(os.urandom(4000).hex().encode())[:-30])
    for name, message in {
        "empty": "empty: there are no words",
        "blank": "blank: there are no words",
        "short.gz": "short.gz: damaged gzip file",
        "gone": "gone: cannot be read: No such file",
        ".": "cannot be read: Is a directory",
    }.items():
        with pytest.raises(SpeechlstmError, match=message):
            read_corpus(splitter("word"), [tmp_path / name])
    with pytest.raises(ManifestError, match=r"latin:1: not JSON|latin: not UTF-8"):
        read_corpus(splitter("word"), [], [tmp_path / "latin"])
    (tmp_path / "latin").write_text("fine\n")
    with pytest.raises(
        SpeechlstmError, match=r"there are no words; left out: .*latin:1: 'fine' \(1\) not in"
    ):
        read_corpus(splitter("token", tokenizer=Words.from_texts(["a"])), [tmp_path / "latin"])
