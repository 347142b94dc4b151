from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel, field_validator, model_validator

from edge.config import load_config
from edge.errors import ConfigError
from edge.parsing import parse_json, read_yaml, validate
from edge.system.strict_json import read_json

WriteConfig = Callable[..., Path]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"),
        ("Yes", "Yes"),
        ("true", True),
        ("~", None),
        ("12", 12),
        ("-0.5e3", -500.0),
        ("17:30", "17:30"),  # a number in YAML 1.1
        ("010", "010"),  # octal in YAML 1.1
        ("1_000", "1_000"),
        ("2026-12-25", "2026-12-25"),
        (".inf", ".inf"),
        ("1e999", "1e999"),
        ('"12"', "12"),
    ],
)
def test_yaml_scalar_has_core_schema_type(text: str, value: object) -> None:
    found = read_yaml(f"a: {text}").value["a"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: {c: 1,\n    'c': 2}", "b.c: .*line 2, column 5 and at line 3, column 5"),
        ("- {a: 1, a: 1}", "0.a: duplicate key"),
        ("a: !!int '3'", "line 1: tags"),
        ("!!python/object:os.system a: 1", "line 1: tags|not valid YAML"),
        ("a: &x [*x]", "line 1: nested too deeply"),
        ("a: 1\n---\nb: 1", "not valid YAML"),
        ("? [a]\n: 1", "expected a word as key"),
    ],
)
def test_yaml_ambiguity_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_yaml(text)


class _Range(BaseModel):
    low: int
    values: list[int] = []

    @model_validator(mode="after")
    def _is_ordered(self) -> _Range:
        if self.low > 5:
            raise ValueError(f"low: expected at most 5, is {self.low}")
        return self

    @field_validator("values", mode="before")
    @classmethod
    def _is_not_empty(cls, values: object) -> object:
        if values == []:
            raise ValueError("needs a value")
        return values


class _Ranges(BaseModel):
    ranges: list[_Range]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ranges: [{low: 9}]", r"ranges.0 \(line 1\): low: expected at most 5, is 9$"),
        ("ranges: [{low: 1, values: []}]", r"ranges.0.values \(line 1\): needs a value$"),
        ("ranges: 3", r"ranges \(line 1\): expected a list such as \[a, b\], found 3$"),
    ],
)
def test_mistake_of_section_shows_no_section(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(_Ranges, read_yaml(text))


def test_yaml_alias_bomb_is_refused() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(ConfigError, match="more than 20,000 values"):
        read_yaml("\n".join(rows))


@pytest.mark.parametrize("word", ["yes", "on", "true", '"3"', "3.0"])
def test_config_number_of_other_type_is_refused(write_config: WriteConfig, word: str) -> None:
    path = write_config()
    path.write_text(f"{path.read_text()}policy: {{min_votes: {word}}}\n")
    with pytest.raises(ConfigError, match=r"policy.min_votes \(line 10\): expected a whole number"):
        load_config(path)


def test_config_word_off_is_taken_if_it_is_one(write_config: WriteConfig) -> None:
    path = write_config()
    plain = path.read_text()
    path.write_text(f"{plain}enrollment: {{quality: off}}\n")
    assert load_config(path).enrollment.quality == "off"
    path.write_text(f'{plain}record: {{verification_key_dir: "off"}}\n')
    assert load_config(path).record.verification_key_dir == path.parent / "off"
    for text in (
        "record: {verification_key_dir: off}",
        "access: {lanes: [{name: main, groups: [on]}]}",
        "previous_bundle: no",
    ):
        path.write_text(f"{plain}{text}\n")
        with pytest.raises(ConfigError, match=r"found the word (on|off|no)"):
            load_config(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("policies: {votes: 3}", 'policies (line 10): unknown key; did you mean "policy"?'),
        (
            "policy: {min_vots: 3}",
            'policy.min_vots (line 10): unknown key; did you mean "min_votes"?',
        ),
        ("pulse_s: 3", "pulse_s (line 10): unknown key; it belongs to another place: door.pulse_s"),
        ("engine: {kind: trt, threads: 1}", "engine.threads (line 10): unknown key; it belongs to"),
        (
            "engine: {kind: trtt}",
            "engine.kind (line 10): expected ort, trt, auto (did you mean trt?)",
        ),
        ("door: {relay: {}}", "door.relay.kind: required; write one of simulated, file, gpio"),
        ("detector: {zone: [0, 1]}", "detector.zone (line 10): expected more entries, found 2"),
        ("door: {schedule: {holidays: [20261225]}}", "expected a day such as 2031-05-01, found"),
        ("policy: {mask: requir}", "(did you mean require?), found 'requir'"),
        ("access: {lanes: main}", "access.lanes (line 10): expected a list such as [a, b]"),
    ],
)
def test_config_mistake_names_the_remedy(write_config: WriteConfig, text: str, words: str) -> None:
    path = write_config()
    path.write_text(f"{path.read_text()}{text}\n")
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_config(path)


def test_config_missing_camera_shows_an_example(write_config: WriteConfig) -> None:
    with pytest.raises(ConfigError, match=r"camera: required; for example camera: \{kind: opencv"):
        load_config(write_config(camera=None))


class _Point(BaseModel):
    x: float
    n: int = 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"x": 1, "x": 2}', "duplicate key"),
        ('{"x": NaN}', "expected a number, found NaN"),
        ('{"x": -Infinity}', "found -Infinity"),
        ('{"x": 1e999}', "found 1e999"),
        ('{"x": true}', "x: expected a number, found true"),
        ('{"x": 1, "n": "2"}', "n: expected a whole number, found '2'"),
        ('{"x": 1', "not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        (b"\xff\xfe\x00", "not UTF-8 text|not valid JSON"),
    ],
)
def test_json_ambiguity_is_refused(text: str | bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_json(_Point, text)


def test_json_of_right_types_is_read() -> None:
    assert parse_json(_Point, '{"x": 1, "n": 2}') == _Point(x=1.0, n=2)
    assert read_json("[1, 2.5, null]") == [1, 2.5, None]


def test_yaml_control_character_is_refused() -> None:
    with pytest.raises(ConfigError, match="not valid YAML: unacceptable character"):
        read_yaml("\x01terminal: t")


@pytest.mark.parametrize("text", ["\x01a: 1", 'a: "\\UFFFFFFFF"', 'a: "\\ud800"', '"\\ud800": 1'])
def test_yaml_bad_character_is_one_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_yaml(text)
