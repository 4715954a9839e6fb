"""Options: a YAML file replaces defaults, flags replace both. Mistakes are named; unread keys are ignored."""
import inspect
import re

import pytest
import yaml

from src.cli import config
from src.cli.entry import run_as_program
from src.dehaze.dehazer import Dehazer
from src.errors import UsageError

INFER = ("device", "inference", "infer")
TRAIN = ("model", "device", "data", "validation", "train", "contrast", "checkpoint", "cloud")
SHIPPED = sorted(config.DEFAULTS.parent.glob("*.yaml"))


def parse(*argv, sections=INFER, **more):
    return config.parse(argv, sections, "a script", **more)


def write(path, **values):
    path.write_text(yaml.safe_dump(values))
    return str(path)


def test_every_option_has_a_meaning_in_the_same_line():
    sections, comments = config.read_file(config.DEFAULTS), config.help_texts(config.DEFAULTS)
    assert set(comments) == {(section, key) for section in sections for key in sections[section]}


def test_every_section_can_be_parsed_and_shown(capsys):
    for section in config.read_file(config.DEFAULTS):
        parse(sections=(section,))
        with pytest.raises(SystemExit) as done:
            parse("--help", sections=(section,))
        assert done.value.code == 0
    assert "None" not in capsys.readouterr().out


def test_flags_win_over_the_file_and_the_file_over_the_defaults(tmp_path):
    path = write(tmp_path / "my.yaml", tile=128, overlap=32)
    options = parse("--config", path, "--tile", "256")
    assert (options.tile, options.overlap, options.max_pixels) == (256, 32, 0)
    assert options.given == ["overlap", "tile"]


def test_the_file_counts_as_given_where_it_differs_from_the_defaults(tmp_path):
    path = write(tmp_path / "my.yaml", inference={"tile": 0, "overlap": 32}, batch_size=2, train={"lr": 0.1})
    assert parse("--config", path).given == ["batch_size", "overlap"]
    assert parse("--config", str(config.DEFAULTS)).given == []


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
    ({"infer": {"tile": 64}}, "unknown key tile"),  # the key belongs to another section
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
    assert {**vars(options), "given": []} == {**vars(again), "given": []}


# as train.py reads them: lists, numbers, every file that is shipped

@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_file_is_read_whole(path):
    options = parse("--config", str(path), sections=TRAIN)
    for section, values in config.read_file(path).items():
        for key, value in values.items():
            assert section not in TRAIN or getattr(options, key) == value, key


def test_the_papers_file_gives_the_papers_network():
    options = parse("--config", str(config.DEFAULTS.parent / "paper.yaml"), sections=TRAIN)
    assert (options.arch, options.contra_lambda, options.batch_size) == ("paper", 0.1, 16)


def test_files_for_another_script_may_be_given_but_not_flags(tmp_path):
    path = write(tmp_path / "my.yaml", train={"epochs": 3}, lr=0.1, tile=128)
    options = parse("--config", path)
    assert options.tile == 128 and not hasattr(options, "epochs") and not hasattr(options, "lr")
    with pytest.raises(UsageError, match="unrecognized arguments: --epochs 3"):
        parse("--epochs", "3")


@pytest.mark.parametrize("line, value", (
    ("lr: 1e-5", 1e-5), ("lr: 1.5e-5", 1.5e-5), ("lr: 1.5E5", 1.5e5), ("lr: 2", 2.0), ("train: {lr: 1e-3}", 1e-3),
    ("train:", 0.00001)))
def test_numbers_may_be_written_as_people_do(tmp_path, line, value):
    (tmp_path / "my.yaml").write_text(line + "\n")
    lr = parse("--config", str(tmp_path / "my.yaml"), sections=TRAIN).lr
    assert lr == value and type(lr) is float


def test_lists_come_from_the_file_and_from_flags(tmp_path):
    path = write(tmp_path / "my.yaml", betas=[0.5, 1], scales=[1, 0.5, 0.25])
    options = parse("--config", path, "--betas", "0.8", "0.9", sections=TRAIN)
    assert (options.betas, options.scales) == ([0.8, 0.9], [1.0, 0.5, 0.25])
    assert {type(value) for value in options.betas + options.scales} == {float}
    assert parse(sections=TRAIN).betas == [0.9, 0.999]


@pytest.mark.parametrize("values, text", (
    ({"betas": 0.9}, "betas must be list, not 0.9"),
    ({"betas": ["a", 0.9]}, "betas must be float, not 'a'"),
    ({"epochs": True}, "epochs must be int, not True"),
    ({"epochs": 1.5}, "epochs must be int, not 1.5"),
    ({"lr": "fast"}, "lr must be float, not 'fast'"),
    ({"lr": True}, "lr must be float, not True"),
    ({"no_augment": "True"}, "no_augment must be bool, not 'True'"),
    ({"dir_data": 5}, "dir_data must be str, not 5"),
    ({"dir_data": None}, "dir_data must be str, not None"),
    ({"arch": "resnet"}, "arch must be one of gitee, paper, not resnet"),
    ({"train": 5}, "unknown key train"),
    ({"given": ["lr"]}, "unknown key given")))
def test_wrong_types_in_the_file_are_named(tmp_path, values, text):
    with pytest.raises(UsageError, match=f"my.yaml: {text}"):
        parse("--config", write(tmp_path / "my.yaml", **values), sections=TRAIN)


@pytest.mark.parametrize("argv, text", (
    (("--betas", "0.9", "x"), "--betas: invalid float value: 'x'"), (("--betas",), "--betas: expected"),
    (("--epochs", "1.5"), "--epochs: invalid int value: '1.5'"), (("--lr", "fast"), "--lr: invalid float"),
    (("--arch", "resnet"), "--arch: invalid choice: 'resnet'"), (("--tile", "64"), "--tile")))
def test_wrong_types_on_the_command_line_are_named(argv, text):
    with pytest.raises(UsageError, match=text):
        parse(*argv, sections=TRAIN)


@pytest.mark.parametrize("content", (b"", b"- lr", b"lr: 1: 2", b"\tlr: 1", b"\xff\xfe\x00", b"a: {\n\n"))
def test_files_that_are_no_configuration_are_one_line(tmp_path, capsys, content):
    path = tmp_path / "my.yaml"
    path.write_bytes(content)
    assert_one_line(capsys, path)


def test_missing_files_and_folders_are_one_line(tmp_path, capsys):
    assert_one_line(capsys, tmp_path / "none.yaml")
    assert_one_line(capsys, tmp_path)


def assert_one_line(capsys, path):
    """The script ends with exit code 2 and a line that names the flag and the file."""
    with pytest.raises(SystemExit) as done:
        run_as_program(lambda: parse("--config", str(path), sections=TRAIN))
    assert done.value.code == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.startswith(f"error: --config {path}: ")
    assert output.err.count("\n") == 1


def test_a_saved_training_configuration_gives_the_same_options(tmp_path):
    options = parse("--lr", "1e-5", "--betas", "0.5", "0.9", "--no_augment", "--dir_data", "my photos", sections=TRAIN)
    config.save(options, tmp_path / "saved.yaml")
    again = parse("--config", str(tmp_path / "saved.yaml"), sections=TRAIN)
    assert {**vars(options), "given": []} == {**vars(again), "given": []}
    assert [file.name for file in tmp_path.iterdir()] == ["saved.yaml"]


@pytest.mark.parametrize("script", ["run_standalone_train.sh", "run_distribute_train.sh"])
def test_the_training_scripts_hold_no_settings_of_their_own(script):
    text = (config.DEFAULTS.parent.parent / "scripts" / script).read_text()
    assert "--config configs/reference.yaml" in text
    defaults = config.read_file(config.DEFAULTS)
    settings = {f"--{key}" for section in ("data", "train", "contrast") for key in defaults[section]}
    assert set(re.findall(r"--\w+", text.split("exec ")[1])) & settings == {"--dir_data"}


def test_the_defaults_of_the_python_api_are_those_of_the_options():
    defaults = config.read_file(config.DEFAULTS)
    options = {key: value for section in INFER for key, value in defaults[section].items()}
    arguments = {name: one.default for name, one in inspect.signature(Dehazer).parameters.items() if name in options}
    assert len(arguments) == 11 and arguments == {name: options[name] for name in arguments}
