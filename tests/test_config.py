"""Options: defaults, a YAML file over them, flags over both; what is wrong is named, what is not read is left alone."""
import pytest
import yaml

from src import config
from src.errors import UsageError

INFER = ("device", "inference", "infer")


def parse(*argv, sections=INFER, **more):
    return config.parse(argv, sections, "a script", **more)


def write(path, **values):
    path.write_text(yaml.safe_dump(values))
    return str(path)


def test_every_option_has_a_meaning_in_the_same_line():
    sections, comments = config._read(config.DEFAULTS), config._comments(config.DEFAULTS)
    assert set(comments) == {(section, key) for section in sections for key in sections[section]}


def test_every_section_can_be_parsed_and_shown(capsys):
    for section in config._read(config.DEFAULTS):
        parse(sections=(section,))
        with pytest.raises(SystemExit) as done:
            parse("--help", sections=(section,))
        assert done.value.code == 0
    assert "None" not in capsys.readouterr().out


def test_flags_win_over_the_file_and_the_file_over_the_defaults(tmp_path):
    path = write(tmp_path / "my.yaml", tile=128, overlap=32)
    options = parse("--config", path, "--tile", "256")
    assert (options.tile, options.overlap, options.max_pixels) == (256, 32, 0)
    assert options.given == ["tile"]


def test_a_key_of_several_sections_is_that_of_the_section_the_script_reads(tmp_path, capsys):
    assert parse().batch_size == 1 and parse(sections=("train",)).batch_size == 16
    path = write(tmp_path / "my.yaml", train={"batch_size": 8}, inference={"batch_size": 2})
    assert parse("--config", path).batch_size == 2
    assert parse("--config", path, sections=("train",)).batch_size == 8
    path = write(tmp_path / "flat.yaml", batch_size=5)
    assert parse("--config", path).batch_size == parse("--config", path, sections=("train",)).batch_size == 5
    for sections, text in ((INFER, "images of one size in a batch"), (("train",), "images in a step")):
        with pytest.raises(SystemExit):
            parse("--help", sections=sections)
        assert text in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("values, text", (
    ({"colour": 1}, "unknown key colour"),
    ({"infer": {"colour": 1}}, "unknown key colour"),
    ({"infer": {"tile": 64}}, "unknown key tile"),  # it stands in another section
    ({"tile": "large"}, "tile must be int, not 'large'"),
    ({"self_ensemble": 1}, "self_ensemble must be bool, not 1"),
    ({"format": "gif"}, "format must be one of png, same, not gif")))
def test_mistakes_in_the_file_are_named(tmp_path, values, text):
    path = write(tmp_path / "my.yaml", **values)
    with pytest.raises(UsageError, match=f"my.yaml: {text}"):
        parse("--config", path)


@pytest.mark.parametrize("argv, text", (
    (("--colour", "1"), "--colour"), (("--tile", "large"), "--tile: invalid int"), (("--tile",), "--tile"),
    (("--til", "64"), "--til"), (("--report", "maybe"), "unrecognized arguments: maybe"), (("stray",), "stray"),
    (("--report=maybe",), "True or False, not maybe")))
def test_mistakes_on_the_command_line_are_named(argv, text):
    with pytest.raises(UsageError, match=text):
        parse(*argv)


def test_files_may_stand_anywhere_between_flags():
    files = {"inputs": "files"}
    for argv in (("a", "b", "--report", "--tile", "64"), ("--report", "a", "b", "--tile", "64"),
                 ("a", "--tile", "64", "b", "--report")):
        options = parse(*argv, positional=files)
        assert (options.inputs, options.report, options.tile) == (["a", "b"], True, 64)
    assert parse(positional=files).inputs == []


@pytest.mark.parametrize("argv, value", (
    (("--report",), True), (("--report", "false"), False), (("--report=True",), True), ((), False)))
def test_switches_take_a_value_or_none(argv, value):
    assert parse(*argv).report is value


def test_short_flags():
    assert parse("-o", "x", short={"output": "-o"}).output == "x"
    with pytest.raises(UsageError, match="-o"):
        parse("-o", "x")


def test_a_saved_configuration_gives_the_same_options(tmp_path):
    options = parse("--tile", "64", "--report", "a", positional={"inputs": "files"})
    del options.inputs
    config.save(options, tmp_path / "saved.yaml")
    again = parse("--config", str(tmp_path / "saved.yaml"))
    assert {**vars(options), "given": []} == vars(again)
