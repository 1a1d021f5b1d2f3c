"""Seeds that once failed, and what they found. When stories change, a seed may tell another one; it stays all the same."""

import pytest

from tests.simulate.plan import plain
from tests.simulate.story import tell

KEPT = {  # told without what wider.py adds
    9: "a power cut took journal lines that the worker had read, and new entries got their numbers",
    231: "power gone while a call without audio was given its end: ended, recorded, never told as complete",
    236: "the journal lost an answered call's end in a power cut, its recording was there: its end was never told",
    239: "journal numbers used twice after a power cut, with a call in them",
    297: "killed between the 200 to the caller and the journal's line: an answered call was told as unanswered",
    316: "as 236, the clock set forward before",
    364: "a callee that hung up because its answers got lost left the INVITE to it open for ever",
    1529: "a disk that failed in a call's last moment: frames were lost and nothing said so",
    1788: "killed, recovered, then a power cut: journal and spool of the killed run had never been synced",
    1900: "as 1529, with the disk full",
    3215: "a finalizer died between making the day's folder and making its name durable: a power cut took the recording",
    3432: "a recording made from a spool that was not on the disk yet: the power cut left the recording without its spool",
    986: "killed between the journal's line of an answer and the 200: the wrong that was seen was the simulator's own",
    15893: "killed while it wrote the end of a call without audio: half a sidecar was left for ever",
    30988: "two power cuts within a second each: the second run took the numbers that the first had taken after the first cut",
    36778: "a pause in which the phone began another stream",
    204: "a phone set its clock by half the range of the timestamps: frames were lost, unsaid",
    21294: "after a kill a phone of the killed run spoke to an RTP port that a new call had",
    51365: "the simulator's own: a phone that resumed within a frame of its hold spoke twice",
    51589: "a blind transfer: what phones said before the answer was read was placed where it was read, a loser's too",
    51855: "as 51589, and nothing else of that side",
    51987: "as 51365, in a pause",
    601837: "one packet before a phone set its clock and one after: half a second apart, taken for one stream that stalled",
    1000030: "as 601837, with three packets",
    603274: "a phone that took over a call and began a new stream after four frames: they were taken for a stranger's",
    1012785: "two frames of a new stream, and a packet of the old one a second time after them: taken for a stranger's",
    51744: "a blind transfer: the new phone spoke before the old one had gone, and wrote over its last frame",
    3004330: "the simulator's own: two phones spoke at once, and only the lost packet of one of them is a gap",
    3016161: "three packets of a new stream, and the last of the old one held up for 45 ms: taken for a stranger's",
    3015503: "as 603274, between packets 33 ms apart",
    422: "a finalizer that died left half a master beside the whole one",
}


WIDE = {  # told with it
    20031580: "the simulator's own: a caller held the call within its notice, of which it then heard nothing",
    19072782: "the simulator's own: a packet came in a pause, and its copy after it: it was said in the pause",
    19056611: "the simulator's own: a phone whose 200 got lost three times spoke RTCP before anybody knew it",
    19015303: "the simulator's own: a power cut while the ACK to a phone that had picked up was on its way: it never spoke with us",
    18012665: "a disk that took 50 ms for each of three batches in a row, each a job of its own: kill -9 took 0.24 s",
    17016604: "the simulator's own: a phone that picked up too late never heard the BYE of a recorder that was killed",
    16020738: "the simulator's own: one packet that came twice was two to the judge",
    15019471: "one packet of a stranger that came twice counted as the two before a source is believed",
    14009452: "a stretch pushed behind another was laid over by the next of its own talker, whose last packet came late",
    14026148: "the simulator's own: two phones had spoken, the caller had not: a stranger from his address was to be expected",
    12014810: "a phone's clock stood still for most of a hold and was set back after it: half a second taken for a stall",
    11017654: "the simulator's own: a call taken again by the next life of the recorder was placed by the clock of the life before",
    11056439: "the simulator's own: the A-law code of silence was added to another voice where the recorder lets the voice be",
    11000713: "the simulator's own: a citizen hung up in an attended transfer, and the colleague's phone never spoke in its call again",
    10000100: "the simulator's own: a phone spoke at once with another after a hold, and was looked for where it had been before",
    9303703: "the simulator's own: a call that came to a phone twice made it ask its colleague twice: two calls, one number",
    9303498: "the simulator's own: settled before a peer that finds nobody to connect to had called again or given up",
    9301150: "the simulator's own: a call refused because the recorder stops hears no notice, so that none is missed",
    9303055: "as 9301150",
    9100783: "the simulator's own: a phone refused an INVITE that came twice, and answered it",
    9000225: "the simulator's own: a power cut took the answer of half a second before, of a call answered for its notice",
    9000405: "the simulator's own: a phone that moves hears the old call until its 200 is read",
    8000081: "a blind transfer whose answer got lost: the new phone spoke beside the old one for most of its time: a stranger's",
    7001648: "the simulator's own: two phones spoke at once, and both lost a packet at about the same time",
    5001570: "a phone moved to another call by an attended transfer: its first two packets could not be unlocked",
    5101948: "the simulator's own: a seat that calls while the recorder stops is refused, which is no call",
    4000293: "the simulator's own: three phones spoke at once, and a sum of two was not read",
}


@pytest.mark.parametrize("seed", WIDE)
def test_a_wide_story_that_once_failed(seed):
    assert tell(seed).violations == (), WIDE[seed]


@pytest.mark.parametrize("seed", KEPT)
def test_a_seed_that_once_failed(seed):
    assert tell(plain(seed)).violations == (), KEPT[seed]
