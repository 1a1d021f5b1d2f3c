"""What the engine is told beforehand about each role's words, and the test that none of it came back as speech.

A prompt holds only words of the trade: no number, no name, no greeting or closing, since a 工号 or an area code in the prompt
wrote itself into transcripts. Commas are ASCII: full-width ones break the byte tokens of Whisper.
"""

from collections.abc import Mapping
from typing import Final

from callqa.speech import Speaker

_COMMON: Final = "停水,漏水,爆管,水压,水质,水表,水费,井盖,积水"
# With Whisper base these cost more than they bring (docs/transcription.md), so the measured plan leaves them out.
ROLE_PROMPTS: Final[Mapping[Speaker, str]] = {
    Speaker.AGENT: f"水务热线,坐席接听市民来电,核对地址和电话,登记工单,抢修,维修,派单,回访,满意度,{_COMMON}。",
    Speaker.CITIZEN: f"市民拨打水务热线,反映情况,说明小区,路名,楼栋,单元,{_COMMON}。",
    Speaker.UNKNOWN: f"市民与水务热线坐席通话,核对地址和电话,登记工单,{_COMMON}。",
}
_LEAK_CHARS: Final = 9  # nobody says this many characters of a word list in its order by chance


def leaks_prompt(text: str, prompt: str) -> bool:
    """Whether `text` holds a long piece of `prompt`, punctuation aside: then the engine read its prompt aloud."""
    said, told = _bare(text), _bare(prompt)
    return any(told[i : i + _LEAK_CHARS] in said for i in range(len(told) - _LEAK_CHARS + 1))


def _bare(text: str) -> str:
    return "".join(c for c in text if c.isalnum())
