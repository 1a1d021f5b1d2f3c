"""A word trigram model, read from the binary file that KenLM writes and Debian's libime ships. numpy alone.

The format is KenLM's version 5, "trie with quantization and array-compressed pointers" (Heafield, "KenLM: Faster and Smaller
Language Model Queries", WMT 2011; pointers after Raj and Whittaker, ICASSP 2003; the layout is that of KenLM 0.3, lm/
binary_format, vocab, quantize, trie, bhiksha). Little-endian, in this order:

- header: magic text to byte 56; 0.0, 1.0, -0.5 as float32, 1 and 2^32 - 1 as uint32, 4 bytes, 1 as uint64; at byte 88 the order
  (1 byte of 4), a float32, the kind (uint32, 5), whether words follow (1 byte of 4), the search's version (uint32, 1); a uint64
  count per order; up to the next multiple of 8;
- vocabulary: uint64 number of words without <unk>, then room for a uint64 hash for each word and <unk> (not used here);
- bins: 2, bits of a probability, bits of a backoff, a byte each, 8 bytes in all; then float32 tables, 2^bits long: probability
  and backoff of bigrams, probability of trigrams;
- unigrams by word number: float32 probability and backoff, uint64 number of the first bigram; two more records than words;
- bigrams: 0, a byte of which more in `_high_bits`, then, from the next multiple of 8 after 8 bytes, uint64 `steps`; 7 bytes;
  records of bits: number of the word before, backoff bin, probability bin, low bits of the number of the first trigram, whose
  high bits say how many steps are not above the record's own number, less one. One more record than bigrams, and 8 bytes;
- trigrams: records of bits: number of the word before these two, probability bin. One more record, and 8 bytes;
- the words in UTF-8, each ended by a zero byte, <unk> first.

An n-gram is under its last word: a bigram's owner is the second word, a trigram's the bigram of the last two. Records of one
owner are sorted. Probabilities and backoffs are log10, added in float32 as KenLM adds them, so the sums are the same bits.

Everything is unpacked and checked when the file is read, and the file is closed: a file that is overwritten later can neither
change an answer nor crash the process, as a mapped one could. Other kinds and orders are refused by name.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from callqa.errors import WordModelError
from callqa.refusals import os_reason

Ints = NDArray[np.int64]
Keys = NDArray[np.uint64]
Float = NDArray[np.float32]

UNKNOWN: Final = 0  # the number of <unk>
NO_WORD: Final = -1  # before the first word of a text
MAX_FILE_BYTES: Final = 256 * 1024 * 1024  # unpacked it takes two to three times that; the usual model has 17 MB

_MAGIC: Final = b"mmap lm http://kheafield.com/code"
_SANITY: Final = (
    (_MAGIC + b" format version 5\n").ljust(56, b"\0")
    + np.array([0.0, 1.0, -0.5], "<f4").tobytes()
    + np.array([1, 2**32 - 1, 0], "<u4").tobytes()
    + np.array([1], "<u8").tobytes()
)
_KINDS: Final = ("哈希表", "带余量的哈希表", "字典树", "量化的字典树", "指针压缩的字典树", "量化且指针压缩的字典树")
_KIND, _SEARCH_VERSION, _BIN_VERSION, _POINTER_VERSION, _ORDER = 5, 1, 2, 0, 3
_MOST_WEIGHT: Final = 1000.0  # log10; real ones reach 100, and sums of a few stay numbers
_MAX_BIN_BITS: Final = 16  # the usual model has 8
_CHUNK: Final = 1 << 18  # records unpacked at a time: reading takes little more memory than the result


@dataclass(frozen=True, slots=True)
class Trigrams:
    """A trigram model. Words are numbered from 0, which is <unk>.

    weights: (n_words, 2), log10 probability and backoff of a word. bigrams: sorted, last word << 32 | word before.
    bigram_bins: probability bin << backoff bits | backoff bin. trigrams: sorted, number of the bigram of the last two words
    << 32 | word before them. probability_of: log10 probability by bin, of bigrams and of trigrams.
    """

    words: tuple[str, ...]
    weights: Float
    bigrams: Keys
    bigram_bins: NDArray[np.uint32]
    trigrams: Keys
    trigram_bins: NDArray[np.uint16]
    probability_of: tuple[Float, Float]
    backoff_of: Float
    sha256: str

    def scores(self, before: Ints, words: Ints) -> Float:
        """float32 (k, n): log10 probability of each of n words after each of k contexts.

        before: (k, 2), the word before the last and the last one, or NO_WORD. All numbers must be those of words.
        """
        earlier, last = before[:, 0], before[:, 1]
        backoff = self._backoff(_find(self.bigrams, last, earlier))
        last_backoff = np.where(last >= 0, self.weights[last, 1], np.float32(0))
        told = (self.weights[words, 0][None, :] + last_backoff[:, None]) + backoff[:, None]
        distinct, which = np.unique(last, return_inverse=True)
        bigram = _find(self.bigrams, words[None, :], distinct[:, None])[which]
        rows, columns = np.nonzero(bigram >= 0)
        numbers = bigram[rows, columns]
        by_two = self.probability_of[0][self.bigram_bins[numbers] >> self._backoff_bits] + backoff[rows]
        trigram = _find(self.trigrams, numbers, earlier[rows])
        by_three = self.probability_of[1][self.trigram_bins[trigram]]
        told[rows, columns] = np.where(trigram >= 0, by_three, by_two)
        return told

    @property
    def _backoff_bits(self) -> np.uint32:
        return np.uint32(len(self.backoff_of).bit_length() - 1)

    def _backoff(self, bigram: Ints) -> Float:
        found = self.backoff_of[self.bigram_bins[bigram] & np.uint32(len(self.backoff_of) - 1)]
        return np.where(bigram >= 0, found, np.float32(0))


def _find(keys: Keys, owner: Ints, word: Ints) -> Ints:
    """Number of the record of `word` under `owner`, -1 where there is none; the two are broadcast."""
    wanted = (np.maximum(owner, 0).astype(np.uint64) << np.uint64(32)) | np.maximum(word, 0).astype(np.uint64)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where((keys[at] == wanted) & (owner >= 0) & (word >= 0), at, -1)


def read_trigrams(path: Path) -> Trigrams:
    """Read the file. Raise WordModelError, in Chinese, when it is not a whole and sound model of the kind above."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise WordModelError(
                f"词模型 {path} 有 {size >> 20} MB，超过 {MAX_FILE_BYTES >> 20} MB 的上限；请换小一些的"
            )
        data = path.read_bytes()
    except OSError as e:
        raise WordModelError(f"词模型 {path} 读不了：{os_reason(e)}") from e
    try:
        return _parse(data)
    except WordModelError as e:
        raise WordModelError(f"词模型 {path} 不能用：{e}") from e


@dataclass(slots=True)
class _Reader:
    """Takes arrays off the file one after the other."""

    data: bytes
    at: int = 0

    def take(self, dtype: Any, n: int) -> NDArray[Any]:
        """The next n items; they must be there."""
        form = np.dtype(dtype)
        start, self.at = self.at, self.at + n * form.itemsize
        if self.at > len(self.data):
            raise WordModelError(f"文件不完整：有 {len(self.data)} 字节，至少应有 {self.at} 字节；请重新安装或复制")
        return np.frombuffer(self.data, form, n, start)

    def align(self) -> None:
        self.at += -self.at % 8

    def records(self, n: int, bits: int) -> "_Records":
        """n records of so many bits, the one more behind them, and 8 bytes."""
        return _Records(self.take("u1", ((n + 1) * bits + 7) // 8 + 8), n, bits)


@dataclass(frozen=True, slots=True)
class _Records:
    data: NDArray[np.uint8]
    n: int
    bits: int

    def numbers(self, first_bit: int, bits: int, more: int = 0) -> Keys:
        """What `bits` (at most 57) from `first_bit` on say in each of the n + more records, little end first."""
        words = np.ndarray((len(self.data) - 7,), "<u8", self.data, strides=(1,))
        out = np.empty(self.n + more, np.uint64)
        mask = np.uint64((1 << bits) - 1)
        for start in range(0, len(out), _CHUNK):
            places = np.arange(start, min(start + _CHUNK, len(out)), dtype=np.uint64) * np.uint64(self.bits)
            places += np.uint64(first_bit)
            out[start : start + len(places)] = (words[places >> np.uint64(3)] >> (places & np.uint64(7))) & mask
        return out


def _parse(data: bytes) -> Trigrams:
    reader = _Reader(data)
    n_words, n_bigrams, n_trigrams = _counts(reader)
    reader.take("<u8", 1 + n_words)
    version, p_bits, b_bits = map(int, reader.take("u1", 8)[:3])
    if version != _BIN_VERSION or not (1 <= p_bits <= _MAX_BIN_BITS and 1 <= b_bits <= _MAX_BIN_BITS):
        raise _damaged("量化表")
    two, backoffs, three = (_table(reader, 1 << bits) for bits in (p_bits, b_bits, p_bits))
    unigrams = reader.take([("weights", "<f4", 2), ("first", "<u8")], n_words + 2)
    word_bits = n_words.bit_length()
    steps, low_bits = _pointers(reader, n_bigrams + 1, n_trigrams)
    bigrams = reader.records(n_bigrams, word_bits + p_bits + b_bits + low_bits)
    trigrams = reader.records(n_trigrams, word_bits + p_bits)
    first_trigrams = bigrams.numbers(word_bits + p_bits + b_bits, low_bits, 1)
    first_trigrams |= _steps_passed(steps, n_bigrams + 1) << np.uint64(low_bits)
    return Trigrams(
        words=_words(data[reader.at :], n_words),
        weights=_finite(unigrams["weights"][:n_words]),
        bigrams=_keys(unigrams["first"][: n_words + 1], bigrams, word_bits, n_words),
        bigram_bins=bigrams.numbers(word_bits, p_bits + b_bits).astype(np.uint32),
        trigrams=_keys(first_trigrams, trigrams, word_bits, n_words),
        trigram_bins=trigrams.numbers(word_bits, p_bits).astype(np.uint16),
        probability_of=(two, three),
        backoff_of=backoffs,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _counts(reader: _Reader) -> tuple[int, int, int]:
    """How many words, bigrams, trigrams there are, from the header; nothing but what this file reads may be in it."""
    if not reader.data.startswith(_MAGIC):
        raise WordModelError("不是 KenLM 的二进制文件（ARPA 文本须先用 build_binary 转换）")
    if bytes(reader.take("u1", len(_SANITY))) != _SANITY:
        raise WordModelError("是别的版本、别的机器字长，或没有写完的 KenLM 文件")
    order = int(reader.take("u1", 4)[0])
    reader.take("<f4", 1)
    kind = int(reader.take("<u4", 1)[0])
    has_words = int(reader.take("u1", 4)[0])
    version = int(reader.take("<u4", 1)[0])
    if kind != _KIND or version != _SEARCH_VERSION:
        name = _KINDS[kind] if kind < len(_KINDS) else f"第 {kind} 种"
        raise WordModelError(f"存法是“{name}”；请用 build_binary -q 8 -a 22 trie 重新生成")
    if order != _ORDER:
        raise WordModelError(f"是 {order} 元模型，只认 {_ORDER} 元")
    if not has_words:
        raise WordModelError("文件里没有词，只有词的校验和")
    words, bigrams, trigrams = map(int, reader.take("<u8", _ORDER))
    if not (0 < words <= len(reader.data) and 0 < bigrams <= len(reader.data) and 0 < trigrams <= len(reader.data)):
        raise _damaged("词数")
    reader.align()
    return words, bigrams, trigrams


def _table(reader: _Reader, n: int) -> Float:
    return _finite(reader.take("<f4", n))


def _finite(weights: NDArray[Any]) -> Float:
    """The weights as an array of their own; a bin that nothing fell into may hold minus infinity."""
    out = np.array(weights, np.float32)
    if not ((np.abs(out) <= _MOST_WEIGHT) | (out == -np.inf)).all():
        raise _damaged("概率")
    return out


def _pointers(reader: _Reader, n_records: int, most: int) -> tuple[Keys, int]:
    """The steps of numbers up to `most`, one in each of n_records, and how many low bits the records hold."""
    start = reader.at
    version, wanted_bits = map(int, reader.take("u1", 2))
    if version != _POINTER_VERSION:
        raise _damaged("指针表")
    high = _high_bits(n_records, most, wanted_bits)
    n_steps = (most >> (most.bit_length() - high)) + 1
    reader.at = start + 8
    reader.align()
    steps = reader.take("<u8", n_steps)
    reader.at = start + 8 * (1 + n_steps) + 7
    if steps[0] != 0 or (steps[1:] < steps[:-1]).any():
        raise _damaged("指针表")
    return steps, most.bit_length() - high


def _high_bits(n_records: int, most: int, wanted_bits: int) -> int:
    """How many high bits of numbers up to `most` are not in the records: as many as make the whole smallest, at most wanted."""
    required = most.bit_length()
    return min(
        range(min(required, wanted_bits) + 1),
        key=lambda high: 64 * (most >> (required - high)) - n_records * high,
    )


def _steps_passed(steps: Keys, n: int) -> Keys:
    """For each of the numbers 0 to n - 1: how many steps are not above it, less one."""
    return (np.searchsorted(steps, np.arange(n, dtype=np.uint64), side="right") - 1).astype(np.uint64)


def _keys(firsts: Keys, records: _Records, word_bits: int, n_words: int) -> Keys:
    """owner << 32 | word of every record. firsts: number of the first record of each owner, and how many there are."""
    if firsts[0] != 0 or firsts[-1] != records.n or (firsts[1:] < firsts[:-1]).any():
        raise _damaged("指针")
    words = records.numbers(0, word_bits)
    if (words >= np.uint64(n_words)).any():
        raise _damaged("词号")
    owners = np.repeat(np.arange(len(firsts) - 1, dtype=np.uint64), (firsts[1:] - firsts[:-1]).astype(np.int64))
    keys = (owners << np.uint64(32)) | words
    if (keys[1:] <= keys[:-1]).any():
        raise _damaged("词序")
    return keys


def _words(text: bytes, n_words: int) -> tuple[str, ...]:
    words = tuple(text.decode("utf-8", "replace").split("\0"))
    if len(words) != n_words + 1 or words[0] != "<unk>" or words[-1]:
        raise _damaged("词")
    return words[:-1]


def _damaged(what: str) -> WordModelError:
    return WordModelError(f"文件已损坏（{what}不合理）；请重新安装或复制")
