# SPDX-License-Identifier: Apache-2.0
"""An option's value that cannot be is one sentence: which option, what it may be, what it was."""

import pytest

from darkpose.cli.main import main
from darkpose.cli.sentences import sentence

_FIT = ["fit", "--data.val=x", "--data.val_images=y"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--codec.encoding=soft"],
            "codec.encoding must be unbiased, biased, dsnt or ipr, got soft",
        ),
        (["--codec.convention=x"], "codec.convention must be hrnet, darkpose or udp, got x"),
        (["--codec.input_size=[a,64]"], "codec.input_size must be a whole number, got a"),
        (["--model.color=red"], "model.color must be rgb or bgr, got red"),
        (["--model.mean=[1,2]"], "model.mean must be a list of 3, got [1, 2]"),
        (["--model.decoders=3"], "model.decoders must be a list, got 3"),
        (["--model.flip_test=maybe"], "model.flip_test must be true or false, got maybe"),
        (["--data.augmentation.rotation=x"], "data.augmentation.rotation must be a number, got x"),
        (["--trainer.max_epochs=many"], "trainer.max_epochs must be a whole number, got many"),
        (["--checkpoint_steps=0"], "checkpoint_steps must be a number above 0, got 0"),
        (
            ["--trainer.logger=x"],
            "trainer.logger must be an import path, a list or true or false, got x",
        ),
    ],
)
def test_a_value_that_cannot_be_is_told_its_choices(arguments: list[str], words: str) -> None:
    with pytest.raises(SystemExit) as error:
        main([*_FIT, *arguments])
    assert str(error.value) == f"darkpose: {words}"


def test_a_choice_of_several_kinds_is_one_sentence() -> None:
    with pytest.raises(SystemExit) as error:
        main([*_FIT, "--trainer.precision=7"])
    words = str(error.value)
    assert words.startswith("darkpose: trainer.precision must be 64, 32, 16, transformer-engine, ")
    assert words.endswith(" 64-true or bf16, got 7")
    with pytest.raises(SystemExit, match="^darkpose: source must be hrnet, .* mmpose, got x$"):
        main(["convert", "a.pth", "b.ckpt", "--source=x"])


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("two\n  lines", "two lines"),
        ("a.json: name \x1b[31m\u202ered", r"a.json: name \x1b[31m\u202ered"),
        (
            'Caught X in worker 0.\nOriginal Traceback (most recent call last):\n  File "x"\n'
            "ValueError: 3.png is cut short",
            "3.png is cut short",
        ),
        ('Parser key "data": Unable to load config', 'Parser key "data": Unable to load config'),
    ],
)
def test_anything_else_is_said_on_one_line_that_can_be_shown(said: str, shown: str) -> None:
    assert sentence(ValueError(said)) == shown
