"""The map of a folder: read strictly, every file named once, nothing stamped by half; and the draft of one."""

import json
import os
import tomllib
import unicodedata
from pathlib import Path

import networks
import numpy as np
import pytest
import torch

from trader_sdk import NativeModelWrapper, ObservationBuilder
from trader_sdk.checkpoint.source import read_source
from trader_sdk.checkpoint.stamp_map import Found, Statement, assign, find_checkpoints, read_map
from trader_sdk.checkpoint.suggest import suggest_map
from trader_sdk.cli import build_app, run_app
from trader_sdk.contract.errors import ConfigError, SdkError

LEGACY = Path(__file__).parents[2] / "compat" / "golden" / "legacy"
SAID = 'who = "ann"\nwhy = "her runs"\n'


def trader(*arguments: object) -> int:
    argv = [str(argument) for argument in arguments]
    return run_app(build_app(argv), argv)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder as people have them: no metadata, two symbols, one name twice, and something else."""
    for number, name in enumerate(("AAPL/model.pt", "MSFT/model.pt", "MSFT/old.pt")):
        path = tmp_path / "zoo" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        network = networks.seeded(networks.ActorCritic(5600, 3, (4, 4)), number)
        torch.save({"policy_state_dict": network.state_dict()}, path)
    (tmp_path / "zoo" / "notes.txt").write_text("not a checkpoint")
    return tmp_path / "zoo"


def written(folder: Path, text: str) -> Path:
    path = folder.parent / "map.toml"
    path.write_text(text, "utf-8")
    return path


def test_map_stamps_a_folder(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A glob for most, a digest for one; the rest is named and left; copies keep their folders."""
    msft = read_source(folder / "MSFT" / "model.pt").sha256
    path = written(
        folder,
        f'[[file]]\nmatch = "AAPL/*.pt"\nversion = "2.6.0"\nactivation = "tanh"\nsymbol = "AAPL"\n'
        f'features = "trader_sdk.features:Ohlcv53Provider"\ntimeframe = "1Hour"\n{SAID}'
        f'[[file]]\nsha256 = "{msft}"\nversion = "2.5.0"\nactivation = "relu"\nsymbol = "MSFT"\n{SAID}',
    )
    assert trader("compat", "stamp", folder, "--map", path, "--out", tmp_path / "out", "--json", 1) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["checkpoint_left_out", "checkpoint_stamped", "checkpoint_stamped"]
    assert events[0]["path"].endswith("old.pt")
    aapl = NativeModelWrapper(tmp_path / "out" / "AAPL" / "model.pt", symbol="AAPL")
    other = NativeModelWrapper(tmp_path / "out" / "MSFT" / "model.pt", symbol="MSFT")
    assert (aapl.model_version, aapl.activation, other.model_version, other.activation) == (
        "2.6.0", "tanh", "2.5.0", "relu",
    )  # fmt: skip
    assert ObservationBuilder.for_model(aapl).schema.timeframe == aapl.metadata["timeframe"] == "1Hour"
    assert aapl.metadata["lineage"]["stamped_by"] == "ann"
    assert not (tmp_path / "out" / "MSFT" / "old.pt").exists()


def test_probe_of_a_map_lies_beside_it(folder: Path, tmp_path: Path) -> None:
    """Each file has its own proof, named from where the map lies."""
    observations = networks.observations(4, 5600)
    network = networks.seeded(networks.ActorCritic(5600, 3, (4, 4)), 0)
    with torch.no_grad():
        logits = network.logits(observations)  # type: ignore[operator] # the network's own method
    np.savez(folder.parent / "aapl.npz", observations=observations.numpy(), logits=logits.numpy())
    path = written(folder, f'[[file]]\nmatch = "AAPL/*"\nversion = "2.6.0"\nprobe = "aapl.npz"\n{SAID}')
    assert trader("compat", "stamp", folder, "--map", path, "--out", tmp_path / "out") == 0
    assert NativeModelWrapper(tmp_path / "out" / "AAPL" / "model.pt").metadata["semantics"] == "proven"


@pytest.mark.parametrize(
    ("tables", "fault"),
    [
        (f'[[file]]\nmatch = "NVDA/*.pt"\n{SAID}', "NVDA"),
        (f'[[file]]\nsha256 = "{"ab" * 32}"\n{SAID}', "ab" * 32),
        (f'[[file]]\nmatch = "*.pt"\n{SAID}[[file]]\nmatch = "AAPL/*"\n{SAID}', "AAPL/*"),
        (f'[[file]]\nmatch = "*.pt"\n{SAID}[[file]]\nmatch = "*.pt"\n{SAID}', "no table before"),
        (f'[[file]]\nsha256 = "{"ab" * 32}"\n{SAID}[[file]]\nsha256 = "{"AB" * 32}"\n{SAID}', "no table before"),
        (f"[[file]]\n{SAID}", "neither"),
        (f'[[file]]\nmatch = "*"\nsha256 = "{"ab" * 32}"\n{SAID}', "both"),
        (f'[[file]]\nmatch = "/etc/*"\n{SAID}', "glob"),
        (f'[[file]]\nmatch = "../*"\n{SAID}', "glob"),
        (f'[[file]]\nmatch = "*"\ntimeframe = "2Day"\n{SAID}', "timeframe"),
        (f'[[file]]\nmatch = "*"\nversion = "newest"\n{SAID}', "version"),
        (f'[[file]]\nmatch = "*"\ncolour = "red"\n{SAID}', "colour"),
        ('[[file]]\nmatch = "*"\nversion = "2.6.0"\n', "who"),
        ("", "none"),
    ],
)
def test_faulty_map_stamps_nothing(
    folder: Path, tmp_path: Path, tables: str, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table that names nothing, or what another names, is a mistake of the person who wrote it."""
    path = written(folder, tables)
    named = [folder / "AAPL" / "model.pt"] if not tables else [folder]
    assert trader("compat", "stamp", *named, "--map", path, "--out", tmp_path / "out") == 2
    assert fault in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_all_faults_of_an_assignment_are_reported(folder: Path) -> None:
    """Two globs on one file and a table without a file are said together; table 1 is not taken for table 10."""
    statements = [Statement(match=f"none{n}*", where=f"map file {n}") for n in range(2, 10)]
    statements = [
        Statement(match="AAPL/*", where="map file 10"),
        Statement(match="AAPL/m*", where="map file 11"),
        *statements,
    ]
    statements.append(Statement(match="nobody", where="map file 1"))
    with pytest.raises(ConfigError) as caught:
        assign(find_checkpoints([folder]), statements)
    places = [finding.where for finding in caught.value.findings]
    assert places == [str(folder / "AAPL" / "model.pt"), *[f"map file {n}" for n in range(2, 10)], "map file 1"]


def test_digest_goes_before_globs(folder: Path) -> None:
    """The exception to a glob is named by its digest."""
    found = find_checkpoints([folder])
    exact = read_source(found[0].path).sha256
    every, one = Statement(match="*.pt", where="a"), Statement(sha256=exact, where="b")
    assigned = assign(found, [every, one])
    assert [statement.where for _, statement in assigned.pairs] == ["b", "a", "a"]


def test_accents_match_however_a_file_system_writes_them(tmp_path: Path) -> None:
    """Composed in the map, decomposed on disk: one name."""
    file = Found(tmp_path, unicodedata.normalize("NFD", "Zürich/é.pt"), True)
    assert assign([file], [Statement(match="Zürich/é.pt", where="a")]).pairs


def test_flags_complete_a_map_and_never_contradict_it(folder: Path, tmp_path: Path) -> None:
    """What the map leaves open a flag may say; two answers to one question are refused."""
    path = written(folder, f'[[file]]\nmatch = "*.pt"\nversion = "2.6.0"\n{SAID}')
    command = ("compat", "stamp", folder, "--map", path, "--out", tmp_path / "out", "--activation", "tanh")
    assert trader(*command, "--model-version", "2.5.0") == 2
    assert trader(*command, "--probe", path) == 2
    assert not (tmp_path / "out").exists()
    assert trader(*command) == 0
    assert NativeModelWrapper(tmp_path / "out" / "MSFT" / "old.pt").activation == "tanh"


def test_copies_of_an_earlier_run_are_not_stamped_again(folder: Path) -> None:
    """An output folder inside the searched one is not searched."""
    path = written(folder, f'[[file]]\nmatch = "model.pt"\nversion = "2.6.0"\n{SAID}')
    assert trader("compat", "stamp", folder, "--map", path, "--out", folder / "stamped") == 0
    assert len(find_checkpoints([folder], besides=folder / "stamped")) == 3
    assert trader("compat", "stamp", folder, "--map", path, "--out", folder / "stamped") == 2


def test_two_copies_of_one_name_are_refused(folder: Path, tmp_path: Path) -> None:
    """Files that are named one by one lose their folders, so they may collide; nothing is written."""
    files = [folder / symbol / "model.pt" for symbol in ("AAPL", "MSFT")]
    assert trader("compat", "stamp", *files, "--model-version", "2.6.0", "--out", tmp_path / "out") == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "flags",
    [
        ("--timeframe", "7Min"),
        ("--activation", "swish"),
        ("--model-version", "two"),
        ("--symbol", " "),
        ("--who", "a\x1b[31m"),
    ],
    ids=str,
)
def test_flags_are_read_as_a_map_is(
    folder: Path, tmp_path: Path, flags: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A timeframe that nobody has, an unknown activation, a blank: exit 2, and nothing is written."""
    assert trader("compat", "stamp", folder / "MSFT" / "model.pt", "--out", tmp_path / "out", *flags) == 2
    said = capsys.readouterr().err
    assert "expected" in said
    assert said.strip().isprintable()
    assert not (tmp_path / "out").exists()


def test_stamp_needs_a_folder_and_a_file(folder: Path, tmp_path: Path) -> None:
    """No output folder is a usage error; no checkpoint at all is exit 3."""
    assert trader("compat", "stamp", folder / "AAPL" / "model.pt", "--model-version", "2.6.0") == 2
    (tmp_path / "empty").mkdir()
    assert trader("compat", "stamp", tmp_path / "empty", "--out", tmp_path / "out") == 3


def test_features_of_another_width_are_refused(folder: Path, tmp_path: Path) -> None:
    """A schema that the model cannot have seen is not stamped."""
    golden = LEGACY.parent / "2.3.0" / "checkpoint.pt"
    provider = "trader_sdk.features:Ohlcv53Provider"
    command = ("compat", "stamp", golden, "--out", tmp_path / "out", "--features", provider)
    assert trader(*command, "--model-version", "2.7.0") == 4
    assert not (tmp_path / "out").exists()


def test_draft_fills_what_can_be_told_and_asks_the_rest(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """TOML with a table a file; the version of an ambiguous file is a comment with the choices; who is missing."""
    assert trader("compat", "stamp", folder, "--suggest") == 0
    draft = capsys.readouterr().out
    tables = tomllib.loads(draft)["file"]
    assert [sorted(table) for table in tables] == [["sha256"]] * 3
    assert '# version = ""  # one of 2.4.0, 2.5.0, 2.6.0' in draft
    assert "# AAPL/model.pt: 5600 inputs, 3 actions, hidden (4, 4), version told by structure" in draft
    with pytest.raises(ConfigError, match="who"):
        read_map(written(folder, draft))
    told = suggest_map(find_checkpoints([LEGACY / "probe-tells-relu", LEGACY / "weights-nan"]))
    (table,) = tomllib.loads(told)["file"]
    assert (table["version"], table["activation"]) == ("2.7.0", "relu")
    assert "E105" in told


def test_draft_that_is_filled_in_is_a_map(folder: Path, tmp_path: Path) -> None:
    """Uncomment, fill in, stamp: the way from a folder of old files to copies that say what they are."""
    draft = tmp_path / "draft.toml"
    assert trader("compat", "stamp", folder, "--suggest", "--map", draft) == 0
    before = draft.read_text("utf-8")
    assert trader("compat", "stamp", folder, "--suggest", "--map", draft) == 2
    assert draft.read_text("utf-8") == before
    answers = {
        '# version = ""': 'version = "2.6.0"',
        '# activation = ""': 'activation = "tanh"',
        '# who = ""': 'who = "ann"',
        '# why = ""': 'why = "her runs"',
    }
    for question, answer in answers.items():
        before = before.replace(question, answer)
    draft.write_text(before, "utf-8")
    assert trader("compat", "stamp", folder, "--map", draft, "--out", tmp_path / "out") == 0
    assert len(list((tmp_path / "out").rglob("*.pt"))) == 3


def test_names_of_files_cannot_write_into_the_draft(tmp_path: Path) -> None:
    """A line feed in a name does not end the comment, and bytes that are no text do not end the draft."""
    hostile = tmp_path / 'a\n[[file]]\nmatch = "*"\x1b[2J.pt'
    hostile.write_bytes((LEGACY / "no-metadata-5900-7" / "checkpoint.pt").read_bytes())
    broken = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.pt"))
    broken.write_bytes(b"nothing")
    draft = suggest_map(find_checkpoints([tmp_path]))
    assert "\x1b" not in draft
    assert [sorted(table) for table in tomllib.loads(draft)["file"]] == [["activation", "sha256", "version"]]
    draft.encode("utf-8")


def test_symlink_is_followed_and_the_copy_is_a_file(folder: Path, tmp_path: Path) -> None:
    """The link and what it points at stay as they were."""
    link = tmp_path / "link.pt"
    link.symlink_to(folder / "AAPL" / "model.pt")
    assert trader("compat", "stamp", link, "--model-version", "2.6.0", "--out", tmp_path / "out") == 0
    copy = tmp_path / "out" / "link.pt"
    assert copy.is_file()
    assert not copy.is_symlink()
    assert link.is_symlink()
    loop = tmp_path / "loop.pt"
    loop.symlink_to(loop)
    with pytest.raises(SdkError):
        suggest_map(find_checkpoints([loop])) and read_source(loop)
