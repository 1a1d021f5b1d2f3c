"""计分示例 of a rubric: cards with the scores they must give. Read when all the rest of the text is right."""

from collections.abc import Collection

import yaml

from callqa.scoring import marked
from callqa.scoring.criteria import Example, Rubric
from callqa.units import CallType


def read_examples(node: yaml.Node, rubric: Rubric) -> tuple[Example, ...]:
    """Raise RubricError for one that names what the rubric has not."""
    return tuple(_example(entry, rubric) for entry in marked.sequence(node, "examples"))


def _known(node: yaml.Node, what: str, known: Collection[str]) -> str:
    return marked.choice(node, what, known)


def _example(node: yaml.Node, rubric: Rubric) -> Example:
    keys = ("name", "call_type", "not_applicable", "deductions", "fatal", "expect")
    example = marked.mapping(node, "计分示例", keys)
    call_type = CallType(_known(example.need("call_type"), "call_type", tuple(CallType)))
    item_ids = [item.item_id for item in rubric.items_for(call_type)]
    expect = marked.mapping(example.need("expect"), "expect", ("quality_score", "final_score", "grade"))
    return Example(
        marked.text(example.need("name"), "name"),
        call_type,
        tuple(
            _known(part, "not_applicable", item_ids)
            for part in marked.sequence(example.need("not_applicable"), "not_applicable")
        ),
        _example_deductions(example.need("deductions"), rubric, item_ids),
        _example_fatals(example.get("fatal"), rubric),
        marked.decimal(expect.need("quality_score"), "quality_score"),
        marked.decimal(expect.need("final_score"), "final_score"),
        _known(expect.need("grade"), "grade", [grade.code for grade in rubric.scoring.grades]),
    )


def _example_deductions(
    node: yaml.Node, rubric: Rubric, item_ids: Collection[str]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    out = []
    for item_id, codes_node in marked.mapping(node, "deductions", item_ids).entries.items():
        codes = [option.code for option in rubric.item(item_id).options]
        out.append((item_id, tuple(_known(part, item_id, codes) for part in marked.sequence(codes_node, item_id))))
    return tuple(out)


def _example_fatals(node: yaml.Node | None, rubric: Rubric) -> tuple[str, ...]:
    """Fatal items of an example that two people have confirmed; those the machine suggested count for nothing."""
    if node is None:
        return ()
    confirmed = []
    for entry in marked.sequence(node, "fatal"):
        fatal = marked.mapping(entry, "fatal", ("id", "confirmed_by", "second_confirmed", "suggested_by"))
        fatal_id = _known(fatal.need("id"), "id", [item.fatal_id for item in rubric.fatal_items])
        second = fatal.get("second_confirmed")
        if fatal.get("confirmed_by") is not None and second is not None and marked.flag(second, "second_confirmed"):
            confirmed.append(fatal_id)
    return tuple(confirmed)
