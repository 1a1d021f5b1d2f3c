"""The template environment: filters from `format` and `periods`, autoescape, strict about missing names."""

from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from callqa import periods
from callqa.privacy import mask_text, without_digits
from callqa.usecases.ingest_notes import DISPOSITION_OF_CODE
from callqa.web import format as fmt
from callqa.web.permissions import ROLE_LABELS
from callqa.web.private import masked_pieces, masked_texts

TEMPLATES_DIR = Path(__file__).parent / "templates"


def build_templates(asset: Callable[[str], str]) -> Environment:
    """The environment all pages are rendered with. asset: the address of a file under static/."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES_DIR),
        autoescape=select_autoescape(["html"], default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        instant=periods.say_instant,
        short=periods.say_short,
        until=periods.say_until,
        day=periods.say_day,
        duration=periods.say_duration,
        offset=periods.say_offset,
        fault=fmt.say_fault,
        label=fmt.label,
        points=fmt.points,
        percent=fmt.percent,
        signed=fmt.signed,
        megabytes=fmt.megabytes,
        thousands=fmt.thousands,
        mask=fmt.mask_number,
        mask_in=fmt.mask_numbers_in,
        mask_said=mask_text,
        without_digits=without_digits,
        masked_texts=masked_texts,
        masked_pieces=masked_pieces,
        pieces=fmt.pieces,
        corrected_pieces=fmt.corrected_pieces,
        zip=zip,
    )
    environment.globals.update(
        asset=asset,
        agent_label=fmt.agent_label,
        call_type_label=fmt.call_type_label,
        labels=fmt.LABELS,
        disposition_codes=DISPOSITION_OF_CODE,
        role_labels={str(role): text for role, text in ROLE_LABELS.items()},
    )
    return environment
