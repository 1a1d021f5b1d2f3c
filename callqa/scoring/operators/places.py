"""Where in a call an operator looks: around its anchor, in its scope, or in the whole of it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from callqa.scoring.acoustics import intersection
from callqa.scoring.condition_tree import OperatorCall, Origin, Reach, Role, Scope, Unit, Where
from callqa.scoring.operators.finding import Hit
from callqa.scoring.operators.scene import Place, Scene, is_of
from callqa.speech import Span

# An utterance that starts this little before an anchor's end still comes after it.
ORDER_SLACK_MS = 300


def place_of(scene: Scene, call: OperatorCall) -> Place:
    """Where an operator looks: around its anchor, or in its scope."""
    if call.anchor is not None and call.where is not None:
        hit = scene.anchor(call.anchor)
        if hit is None:
            return Place(Span(0, 0), ())
        return _around(scene, call, hit, call.where)
    if call.scope is None:
        return _in_span(scene, call.role, Span(0, scene.facts.duration_ms))
    return _in_scope(scene, call.role, call.scope)


def _in_span(scene: Scene, role: Role, span: Span) -> Place:
    positions = tuple(
        position
        for position, utterance in enumerate(scene.utterances)
        if is_of(utterance, role) and intersection(utterance.span, span) is not None
    )
    return Place(span, positions)


def _in_scope(scene: Scene, role: Role, scope: Scope) -> Place:
    end_ms = scene.facts.duration_ms
    if scope.unit is Unit.UTTERANCES:
        own = [position for position, utterance in enumerate(scene.utterances) if is_of(utterance, role)]
        count = int(scope.within)
        chosen = own[-count:] if scope.origin is Origin.END else own[:count]
        return _counted(scene, chosen, complete=len(own) >= count, from_end=scope.origin is Origin.END)
    length_ms = int(scope.within * (end_ms if scope.unit is Unit.RATIO else 1000))
    if scope.origin is Origin.END:
        # Counted back from the last words: a line left open afterwards does not push the farewell out of the scope.
        last_ms = scene.last_speech_ms
        return _in_span(scene, role, Span(max(0, last_ms - length_ms), end_ms))
    # Counted from the role's own first words: a late start has its own check, and must not hide a proper greeting.
    first_ms = scene.first_speech_ms(role) if scope.origin is Origin.START else scene.facts.answer_ms
    first_ms = min(first_ms, end_ms)
    place = _in_span(scene, role, Span(first_ms, min(first_ms + length_ms, end_ms)))
    # The first words heard need not be the first ones said: what was lost between the answer and them belongs here too.
    return replace(place, reach=Span(min(scene.facts.answer_ms, first_ms), place.span.end_ms))


def _counted(scene: Scene, chosen: Sequence[int], *, complete: bool, from_end: bool) -> Place:
    """The first or last utterances, with the stretch in which an unheard one would have been among them."""
    span = _cover(scene, chosen)
    answer_ms = min(scene.facts.answer_ms, scene.facts.duration_ms)
    start_ms = span.start_ms if from_end and complete else min(answer_ms, span.start_ms)
    end_ms = span.end_ms if not from_end and complete else scene.facts.duration_ms
    return Place(span, tuple(chosen), Span(start_ms, max(end_ms, span.end_ms)))


def _cover(scene: Scene, positions: Iterable[int]) -> Span:
    spans = [scene.utterances[position].span for position in positions]
    if not spans:
        return Span(0, 0)
    return Span(min(span.start_ms for span in spans), max(span.end_ms for span in spans))


def _around(scene: Scene, call: OperatorCall, hit: Hit, where: Where) -> Place:
    if where is Where.SAME:
        return _in_span(scene, call.role, hit.span)
    reach = call.reach or Reach(Unit.SECONDS, scene.facts.duration_ms / 1000)
    if reach.unit is Unit.SECONDS:
        reach_ms = int(reach.amount * 1000)
        start_ms = max(0, hit.span.start_ms - reach_ms) if where is not Where.AFTER else hit.span.start_ms
        end_ms = min(scene.facts.duration_ms, hit.span.end_ms + reach_ms)
        end_ms = end_ms if where is not Where.BEFORE else hit.span.end_ms
        return _in_span(scene, call.role, Span(min(start_ms, end_ms), end_ms))
    return _around_by_count(scene, call.role, hit, where, int(reach.amount))


def _around_by_count(scene: Scene, role: Role, hit: Hit, where: Where, count: int) -> Place:
    if hit.position is not None:
        before = list(range(max(0, hit.position - count), hit.position))
        after = list(range(hit.position + 1, min(len(scene.utterances), hit.position + 1 + count)))
        own = [hit.position]
    else:
        slack = ORDER_SLACK_MS
        earlier = [i for i, u in enumerate(scene.utterances) if u.span.end_ms <= hit.span.start_ms + slack]
        later = [i for i, u in enumerate(scene.utterances) if u.span.start_ms >= hit.span.end_ms - slack]
        before, after, own = earlier[-count:], later[:count], []
    # The anchor's own utterance belongs to both sides: 不归我们管，我帮您转 stands in one breath.
    wanted = own + (before if where is not Where.AFTER else []) + (after if where is not Where.BEFORE else [])
    chosen = sorted(position for position in wanted if is_of(scene.utterances[position], role))
    # From the anchor on to the last utterance counted; to the end of the call where there are not so many.
    start_ms, end_ms = hit.span.start_ms, hit.span.end_ms
    if where is not Where.AFTER:
        start_ms = min(start_ms, _cover(scene, before).start_ms) if len(before) >= count else 0
    if where is not Where.BEFORE:
        end_ms = max(end_ms, _cover(scene, after).end_ms) if len(after) >= count else scene.facts.duration_ms
    return Place(_cover(scene, wanted), tuple(chosen), Span(start_ms, max(start_ms, end_ms)))
