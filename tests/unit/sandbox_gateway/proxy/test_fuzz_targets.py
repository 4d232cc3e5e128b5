"""The fuzzing targets hold for their corpus, and for random changes of it; atheris goes further."""

import random

import pytest

from fuzz.corpus import seeds
from fuzz.targets import TARGETS, decode, encode


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_and_changes_of_it(target: str) -> None:
    chance = random.Random(20)
    corpus = seeds(target)
    assert corpus
    for data in corpus:
        TARGETS[target](data)
    for _ in range(1500):
        data = bytearray(chance.choice(corpus))
        for _ in range(chance.randint(1, 3)):
            at = chance.randint(0, len(data))
            other = chance.choice(corpus)
            start = chance.randint(0, len(other))
            data[at : at + chance.choice((0, 1, 4))] = chance.choice(
                (b"", b"\r", b"\n", b"\r\n", b"\x00", b" ", b",", other[start : start + chance.randint(1, 40)])
            )
        TARGETS[target](bytes(data))


def test_a_play_is_read_as_it_was_written() -> None:
    play = [("client", b"GET"), ("upstream closes", b""), ("upstream", b"\x00\r\n")]
    assert decode(encode(play)) == play
